// Macros that force inlining and loop unrolling in the syntax of each compiler, because standard C++ has no syntax for
// forced inlining or unrolling.
#pragma once

#if defined(__x86_64__) && !defined(__FMA__)
// The kernels for x86-64 processors without FMA spend most of their time in the C library's multiply-add. For such
// processors, forced inlining and unrolling would not make the kernels faster, but would triple the size and the
// compile time of the kernels.
#define GAUSSMIX_INLINE inline
#define GAUSSMIX_UNROLL
#else
// Kernels consist of small functions that must be inlined into one loop body, even if the loop body exceeds the
// compiler's limits for inlining.
#define GAUSSMIX_INLINE [[gnu::always_inline]] inline

// Loops over an array of registers must be fully unrolled, because otherwise gcc keeps the accumulators in memory,
// which makes the loop three times as slow.
#if defined(__clang__)
#define GAUSSMIX_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GAUSSMIX_UNROLL _Pragma("GCC unroll 64")
#endif
#endif
