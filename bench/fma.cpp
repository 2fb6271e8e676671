// The loop that measures the peak of the processor: fused multiply-adds on registers. fma.py compiles and calls it.
#include <immintrin.h>

namespace {

constexpr int kChains = 12;  // more than the latency (4 or 5) times the pipes (2)

#define GAUSSMIX_PEAK(NAME, VECTOR, SET, FMA, ADD, STORE, LANES, TYPE)                         \
    double NAME(long repeats) {                                                                \
        VECTOR chain[kChains];                                                                 \
        for (int i = 0; i < kChains; ++i) chain[i] = SET(static_cast<TYPE>(i));                \
        const VECTOR a = SET(static_cast<TYPE>(0.999)), b = SET(static_cast<TYPE>(0.001));     \
        for (long repeat = 0; repeat < repeats; ++repeat) {                                    \
            for (int i = 0; i < kChains; ++i) chain[i] = FMA(chain[i], a, b);                  \
        }                                                                                      \
        VECTOR sum = chain[0];                                                                 \
        for (int i = 1; i < kChains; ++i) sum = ADD(sum, chain[i]);                            \
        TYPE lanes[LANES];                                                                     \
        STORE(lanes, sum);                                                                     \
        return static_cast<double>(lanes[0]);                                                  \
    }

GAUSSMIX_PEAK(avx2_double, __m256d, _mm256_set1_pd, _mm256_fmadd_pd, _mm256_add_pd, _mm256_storeu_pd, 4, double)
GAUSSMIX_PEAK(avx2_float, __m256, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_add_ps, _mm256_storeu_ps, 8, float)
#ifdef __AVX512F__
GAUSSMIX_PEAK(avx512_double, __m512d, _mm512_set1_pd, _mm512_fmadd_pd, _mm512_add_pd, _mm512_storeu_pd, 8, double)
GAUSSMIX_PEAK(avx512_float, __m512, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_add_ps, _mm512_storeu_ps, 16, float)
#endif

}  // namespace

// Runs `repeats` rounds with registers of so many bits; returns how many floating-point operations that were.
extern "C" double fma_operations(int bits, bool is_float, long repeats) {
    volatile double result = 0;
    if (bits == 256) result = is_float ? avx2_float(repeats) : avx2_double(repeats);
#ifdef __AVX512F__
    if (bits == 512) result = is_float ? avx512_float(repeats) : avx512_double(repeats);
#endif
    (void)result;
    const double lanes = bits / (is_float ? 32.0 : 64.0);
    return 2 * lanes * kChains * static_cast<double>(repeats);
}
