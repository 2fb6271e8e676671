// The loop that measures the peak of the processor: fused multiply-adds on
// registers. fma.py compiles and calls it.
#include <immintrin.h>

namespace {

constexpr int kChains = 12;  // more than the latency (4 or 5) times the pipes (2)

#define GAUSSMIX_PEAK(NAME, VECTOR, SET, FMA, ADD, STORE)                     \
    double NAME(long repeats) {                                               \
        VECTOR chain[kChains];                                                \
        for (int i = 0; i < kChains; ++i) chain[i] = SET(i);                  \
        const VECTOR a = SET(0.999), b = SET(0.001);                          \
        for (long repeat = 0; repeat < repeats; ++repeat) {                   \
            for (int i = 0; i < kChains; ++i) chain[i] = FMA(chain[i], a, b); \
        }                                                                     \
        VECTOR sum = chain[0];                                                \
        for (int i = 1; i < kChains; ++i) sum = ADD(sum, chain[i]);           \
        double lanes[8];                                                      \
        STORE(lanes, sum);                                                    \
        return lanes[0];                                                      \
    }

GAUSSMIX_PEAK(avx2, __m256d, _mm256_set1_pd, _mm256_fmadd_pd, _mm256_add_pd, _mm256_storeu_pd)
#ifdef __AVX512F__
GAUSSMIX_PEAK(avx512, __m512d, _mm512_set1_pd, _mm512_fmadd_pd, _mm512_add_pd, _mm512_storeu_pd)
#endif

}  // namespace

// Runs `repeats` rounds with registers of this number of bits; returns the
// number of floating-point operations.
extern "C" double fma_operations(int bits, long repeats) {
    volatile double result = 0;
    if (bits == 256) result = avx2(repeats);
#ifdef __AVX512F__
    if (bits == 512) result = avx512(repeats);
#endif
    (void)result;
    return 2 * (bits / 64) * kChains * static_cast<double>(repeats);
}
