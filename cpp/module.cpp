#include <nanobind/nanobind.h>

#include "em/halves.hpp"
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
    module.attr("MOST_INFLATION") = gaussmix::kMostInflation;
    module.attr("LEAST_WEIGHT_OF_HALF") = gaussmix::kLeastWeight;
    module.attr("RESOLVED") = gaussmix::kResolved;
    // What Python still holds when it exits (a cached Target, a traceback) is not a leak of ours to report.
    nanobind::set_leak_warnings(false);
    gaussmix::bind_targets(module);
    module.def("end_gil_requests", gaussmix::end_gil_requests,
               "Let no thread but this one ask for the GIL any more; for the end of the process.");
}
