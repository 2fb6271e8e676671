// Which of the compiled instruction sets this processor can run.
#pragma once
#include <vector>

#include "kernel_table.hpp"

namespace gaussmix {

// Slowest first. The first was compiled for every processor of the platform.
const std::vector<const KernelTable*>& usable_kernels();

// The name of faster kernels that this processor could run, if the build left them out; otherwise "".
const char* omitted_kernels();

// The fastest, or the one that the environment variable GAUSSMIX_ISA names.
// Throws std::invalid_argument where the variable names one that cannot be used.
const KernelTable& active_kernels();

}  // namespace gaussmix
