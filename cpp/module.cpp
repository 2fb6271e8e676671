#include <nanobind/nanobind.h>

#include "em/columns.hpp"
#include "em/fit_many.hpp"
#include "em/moves.hpp"
#include "families/axes.hpp"
#include "families/update.hpp"
#include "gil.hpp"
#include "kernel_table.hpp"

namespace gaussmix {
void bind_targets(nanobind::module_& module);
}

NB_MODULE(_core, module) {
    module.doc() = "Gaussian mixture kernels: moments, densities and small factorisations.";
    module.attr("TILE_ROWS") = gaussmix::kTileRows;
    module.attr("GROUP_ROWS") = gaussmix::kGroupRows;
    module.attr("LEAF_ROWS") = gaussmix::kLeafRows;
    module.attr("OBJECTIVE_ROUNDING") = gaussmix::kObjectiveRounding;
    module.attr("MIN_PATIENCE") = gaussmix::kMinPatience;
    module.attr("SPLIT_ROWS") = gaussmix::kSplitRows;
    module.attr("OVERFIT") = gaussmix::kOverfit;
    module.attr("STEPS_AFTER_BIRTHS") = gaussmix::kStepsAfterBirths;
    module.attr("ROUNDING_OF_BOUND") = gaussmix::kRoundingOfBound;
    module.attr("LOSS_OF_DELETION") = gaussmix::kLossOfDeletion;
    module.attr("ROWS_PER_PARAMETER") = gaussmix::kRowsPerParameter;
    module.attr("MAX_AXES_COMPONENTS") = gaussmix::kMaxAxesComponents;
    module.attr("MAX_SWEEPS") = gaussmix::kMaxSweeps;
    module.attr("POOLED_AXES_FACTOR") = gaussmix::kPooledAxesFactor;
    module.attr("OWN_AXES_FACTOR") = gaussmix::kOwnAxesFactor;
    // Switch off nanobind's warnings about leaks, because objects that Python still holds at exit (a cached Target, a
    // traceback) are not leaks of gaussmix.
    nanobind::set_leak_warnings(false);
    gaussmix::bind_targets(module);
    module.def("end_gil_requests", gaussmix::end_gil_requests,
               "Let only this thread request the GIL from now on, because the process is about to end.");
}
