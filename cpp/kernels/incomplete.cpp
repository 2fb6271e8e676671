// The kernels for incomplete rows are compiled once for each instruction set, in the namespace that the macro
// GAUSSMIX_ISA specifies. The macro GAUSSMIX_DENSE_ISA specifies the namespace of the kernels for complete rows.
#include "incomplete/step.hpp"

namespace gaussmix::GAUSSMIX_ISA {

extern const IncompleteKernels kIncompleteKernels;
constinit const IncompleteKernels kIncompleteKernels{
    incomplete::sizes, incomplete::pack_scratch, incomplete::pack,   incomplete::order_scratch, incomplete::order,
    incomplete::step,  incomplete::merge,        incomplete::unpack, incomplete::evaluate,      incomplete::denoise};

}  // namespace gaussmix::GAUSSMIX_ISA
