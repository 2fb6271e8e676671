// Integers in the lanes, for random numbers: `Words`, in the same names for each instruction set.
#pragma once
#include "simd.hpp"
#if defined(__AVX512F__)
#include "words_avx512.hpp"
#else
#include "words_avx2.hpp"
#endif
