#include <nanobind/nanobind.h>

#include "em/columns.hpp"
#include "em/fit_many.hpp"
#include "em/moves.hpp"
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
    module.attr("MAX_INFLATION") = gaussmix::kMaxInflation;
    module.attr("MIN_SPLIT_WEIGHT") = gaussmix::kLeastWeight;
    module.attr("RESOLVED") = gaussmix::kResolved;
    module.attr("OBJECTIVE_ROUNDING") = gaussmix::kRoundingOfRuns;
    module.attr("MIN_PATIENCE") = gaussmix::kMinPatience;
    module.attr("SPLIT_ROWS") = gaussmix::kSplitRows;
    module.attr("OVERFIT") = gaussmix::kOverfit;
    module.attr("STEPS_AFTER_BIRTHS") = gaussmix::bound_moves::kSteps;
    module.attr("MERGE_NEIGHBOURS") = gaussmix::bound_moves::kNeighbours;
    module.attr("MERGE_PAIRS") = gaussmix::bound_moves::kPairs;
    module.attr("MIN_MERGE_RESPONSIBILITY") = gaussmix::bound_moves::kShared;
    module.attr("MIN_ROWS_SPLIT") = gaussmix::bound_moves::kFewest;
    module.attr("ROUNDING_OF_BOUND") = gaussmix::bound_moves::kGain;
    module.attr("LOSS_OF_DELETION") = gaussmix::bound_moves::kNegligible;
    module.attr("ROWS_PER_PARAMETER") = gaussmix::bound_moves::kSmall;
    module.attr("MIN_TAIL_WEIGHT") = gaussmix::bound_moves::kAnyWeight;
    // Switch off nanobind's warnings about leaks, because objects that Python still holds at exit (a cached Target, a
    // traceback) are not leaks of gaussmix.
    nanobind::set_leak_warnings(false);
    gaussmix::bind_targets(module);
    module.def("end_gil_requests", gaussmix::end_gil_requests,
               "Let only this thread request the GIL from now on, because the process is about to end.");
}
