// Finds the kernels that this processor can run. Every kernel is compiled once for each instruction set.
#pragma once
#include <vector>

#include "kernel_table.hpp"

namespace gaussmix {

// Returns the kernels that this processor can run, slowest first. The first entry runs on every processor of the
// platform.
const std::vector<const KernelTable*>& usable_kernels();

// Returns the name of the instruction set of the fastest kernels that this processor could run if the build had not
// left them out, or "" if no such kernels were left out.
const char* omitted_kernels();

// Returns the kernels that the environment variable GAUSSMIX_ISA names, or the fastest kernels if this variable is not
// set. Throws std::invalid_argument if GAUSSMIX_ISA names kernels that this processor or this build does not have.
const KernelTable& active_kernels();

}  // namespace gaussmix
