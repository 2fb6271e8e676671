// Forced inlining and forced unrolling, which portable C++ cannot express, in the syntax of each compiler.
#pragma once

#if defined(__x86_64__) && !defined(__FMA__)
// The kernels for any x86-64 processor wait for the C library's multiply-add, so that forced inlining and unrolling
// would only triple their code and the time that compiling it takes.
#define GAUSSMIX_INLINE inline
#define GAUSSMIX_UNROLL
#else
// Kernels consist of small functions that must end up in one loop body, whatever the inliner's budget.
#define GAUSSMIX_INLINE [[gnu::always_inline]] inline

// Loops over a register tile must be fully unrolled. Otherwise gcc keeps the accumulators in memory, at a third of the
// speed.
#if defined(__clang__)
#define GAUSSMIX_UNROLL _Pragma("clang loop unroll(full)")
#else
#define GAUSSMIX_UNROLL _Pragma("GCC unroll 64")
#endif
#endif
