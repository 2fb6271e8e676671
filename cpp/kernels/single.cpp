// The kernels of a step in single precision: as kernels.cpp, with GAUSSMIX_SINGLE and a namespace of their own.
#include "pack.hpp"
#include "step.hpp"

namespace gaussmix::GAUSSMIX_ISA {

extern const StepKernels kStepKernels;
constinit const StepKernels kStepKernels{sizes, pack, step, merge, unpack};

}  // namespace gaussmix::GAUSSMIX_ISA
