// The kernels are compiled once for each instruction set. The macro GAUSSMIX_ISA is the name of the instruction set,
// and GAUSSMIX_INCOMPLETE_ISA is the namespace of incomplete.cpp.
//
// The linker keeps one copy of every inline function. If the linker kept the copy for the newest processor, older
// processors would crash. Therefore all code of the kernels is in gaussmix::GAUSSMIX_ISA and instantiates nothing from
// `std`, which tools/check_weak_symbols.py checks.
#include "draw.hpp"
#include "evaluate.hpp"
#include "factor.hpp"
#include "motion.hpp"
#include "pack.hpp"
#include "principal_axes.hpp"
#include "scores.hpp"
#include "shared_axes.hpp"
#include "step.hpp"
#include "truncated/step.hpp"

#define GAUSSMIX_TEXT(x) #x
#define GAUSSMIX_NAME(x) GAUSSMIX_TEXT(x)

namespace gaussmix::GAUSSMIX_INCOMPLETE_ISA {
extern const IncompleteKernels kIncompleteKernels;
}

namespace gaussmix::GAUSSMIX_ISA {

extern const KernelTable kKernels;
constinit const KernelTable kKernels{GAUSSMIX_NAME(GAUSSMIX_ISA),
                                     {sizes, pack, step, merge, unpack},
                                     {truncated::sizes, truncated::pack, truncated::step},
                                     {scores::sizes, scores::add},
                                     &GAUSSMIX_INCOMPLETE_ISA::kIncompleteKernels,
                                     evaluate,
                                     factorise,
                                     principal_axes,
                                     shared_axes,
                                     measure_motion,
                                     draw,
                                     normals_from_words,
                                     log_each};

}  // namespace gaussmix::GAUSSMIX_ISA
