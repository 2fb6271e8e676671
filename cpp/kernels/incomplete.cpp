// The kernels for incomplete rows are compiled once for each instruction set, in a namespace of their own,
// GAUSSMIX_ISA. The kernels for complete rows are in the namespace GAUSSMIX_DENSE_ISA.
#include "incomplete/step.hpp"

namespace gaussmix::GAUSSMIX_ISA {

extern const IncompleteKernels kIncompleteKernels;
constinit const IncompleteKernels kIncompleteKernels{
    incomplete::sizes, incomplete::pack_scratch, incomplete::pack,   incomplete::order_scratch, incomplete::order,
    incomplete::step,  incomplete::merge,        incomplete::unpack, incomplete::evaluate,      incomplete::denoise};

}  // namespace gaussmix::GAUSSMIX_ISA
