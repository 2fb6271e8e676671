// Finds the compiled instruction sets that this processor can run.
#pragma once
#include <vector>

#include "kernel_table.hpp"

namespace gaussmix {

// Returns the usable kernels, slowest first. The first ones were compiled for every processor of the platform.
const std::vector<const KernelTable*>& usable_kernels();

// Returns the name of faster kernels that this processor could run but the build left out, or "" if there are none.
const char* omitted_kernels();

// Returns the fastest kernels, or the kernels that the environment variable GAUSSMIX_ISA names.
// Throws std::invalid_argument if the variable names kernels that cannot be used.
const KernelTable& active_kernels();

}  // namespace gaussmix
