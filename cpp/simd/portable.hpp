// Backend for every processor, with registers of 128 bits through the vector extensions of gcc and clang. If the
// compiler may not use a fused multiply-add (WebAssembly, x86-64 before AVX2), the C library computes each
// multiply-add, one number at a time, with bit-identical results. With such calls of the C library, the portable
// kernels are 10 times as slow as the kernels for AVX2 if the C library can use the processor's multiply-add
// instruction, and about 100 times as slow otherwise.
//
// The multiply-add and the 32-bit product are intrinsics, because compilers split the generic form into several
// instructions.
#pragma once

#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <immintrin.h>
#endif

// Loops over the four parts of a vector are not unrolled, because gcc and clang would mix the instructions of different
// parts after unrolling, and spill registers to memory. (With NEON and 8 features, 540 multiply-adds take 2,270
// instructions if the loops are unrolled, and 1,300 otherwise.)
#if defined(__clang__)
#define GAUSSMIX_EACH_PART _Pragma("clang loop unroll(disable)")
#else
#define GAUSSMIX_EACH_PART _Pragma("GCC unroll 1")
#endif

namespace gaussmix::GAUSSMIX_ISA {

#if defined(__aarch64__) || defined(__AVX512VL__) || defined(__VSX__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = 16;
#endif
constexpr int kParts = 4, kPartLanes = kLanes / kParts;

using Register [[gnu::vector_size(16)]] = double;
using RegisterBits [[gnu::vector_size(16)]] = Bits;

template <int... kIndices>
GAUSSMIX_INLINE Register pick(Register a, Register b) {
#if defined(__clang__) || __GNUC__ >= 12
    return __builtin_shufflevector(a, b, kIndices...);
#else
    return __builtin_shuffle(a, b, RegisterBits{kIndices...});
#endif
}

struct Part {
    Register v;

    GAUSSMIX_INLINE static Part zero() { return {Register{}}; }
    // To fill all lanes with x, the code computes x - 0, because x + 0 would lose the sign of -0.
    GAUSSMIX_INLINE static Part broadcast(double x) { return {x - Register{}}; }
    GAUSSMIX_INLINE static Part load(const double* p) { return load_unaligned(__builtin_assume_aligned(p, 16)); }
    GAUSSMIX_INLINE static Part load_unaligned(const void* p) {
        Part a;
        __builtin_memcpy(&a.v, p, sizeof a.v);
        return a;
    }
    GAUSSMIX_INLINE void store(double* p) const {
        store_unaligned(static_cast<double*>(__builtin_assume_aligned(p, 16)));
    }
    GAUSSMIX_INLINE void store_unaligned(double* p) const { __builtin_memcpy(p, &v, sizeof v); }

    template <class T>
    GAUSSMIX_INLINE static Part head(const void* p, int count) {
        if (count >= kPartLanes && sizeof(T) == sizeof(double)) return load_unaligned(p);
        Part a = zero();
        GAUSSMIX_UNROLL for (int i = 0; i < kPartLanes; ++i) {
            T x;
            if (i < count) __builtin_memcpy(&x, static_cast<const char*>(p) + i * sizeof x, sizeof x), a.v[i] = x;
        }
        return a;
    }
    GAUSSMIX_INLINE static Part load_head(const void* p, int count) { return head<double>(p, count); }
    GAUSSMIX_INLINE static Part load_floats(const void* p) { return head<float>(p, kPartLanes); }
    GAUSSMIX_INLINE static Part load_floats_head(const void* p, int count) { return head<float>(p, count); }
    GAUSSMIX_INLINE void store_head(double* p, int count) const {
        GAUSSMIX_UNROLL for (int i = 0; i < kPartLanes; ++i) {
            if (i < count) p[i] = v[i];
        }
    }
};

#if !defined(__aarch64__) && !defined(__FMA__)
// Calls the C library's multiply-add for each lane of a register. The function is not inlined, because otherwise the
// kernels would be twice as large.
[[gnu::noinline]] static Part called_fma(Part a, Part b, Part c) {
    GAUSSMIX_UNROLL for (int i = 0; i < kPartLanes; ++i) c.v[i] = __builtin_fma(a.v[i], b.v[i], c.v[i]);
    return c;
}
#endif

GAUSSMIX_INLINE Part operator+(Part a, Part b) { return {a.v + b.v}; }
GAUSSMIX_INLINE Part operator-(Part a, Part b) { return {a.v - b.v}; }
GAUSSMIX_INLINE Part operator*(Part a, Part b) { return {a.v * b.v}; }
GAUSSMIX_INLINE Part operator/(Part a, Part b) { return {a.v / b.v}; }
GAUSSMIX_INLINE Part fma(Part a, Part b, Part c) {
#if defined(__aarch64__)
    return {(Register)vfmaq_f64((float64x2_t)c.v, (float64x2_t)a.v, (float64x2_t)b.v)};
#elif defined(__FMA__)
    return {_mm_fmadd_pd(a.v, b.v, c.v)};
#else
    return called_fma(a, b, c);
#endif
}
GAUSSMIX_INLINE Part fma(double a, Part b, Part c) {
#if defined(__aarch64__) && !defined(__clang__)  // assembly, because gcc would first copy `a` to all lanes
    asm("fmla %0.2d, %1.2d, %2.d[0]" : "+w"(c.v) : "w"(b.v), "w"(a));
    return c;
#else
    return fma(Part::broadcast(a), b, c);
#endif
}
// The functions max and min use comparisons, because NEON's instructions fmax and fmin give different results for NaN
// and for zeros.
GAUSSMIX_INLINE Part max(Part a, Part b) { return {a.v > b.v ? a.v : b.v}; }
GAUSSMIX_INLINE Part min(Part a, Part b) { return {a.v < b.v ? a.v : b.v}; }
GAUSSMIX_INLINE Part sqrt(Part a) {
    GAUSSMIX_UNROLL for (int i = 0; i < kPartLanes; ++i) a.v[i] = __builtin_sqrt(a.v[i]);
    return a;
}
// The assembly statement is volatile, so that the code before this statement is executed first. Without `volatile`,
// compilers postpone multiply-adds until their operands no longer fit in the registers (clang 22, E-step with 16
// features: 83 % of the peak performance by instruction count, instead of 94 %).
GAUSSMIX_INLINE Part in_register(Part a) {
#if defined(__aarch64__)
    asm volatile("" : "+w"(a.v));
#elif defined(__SSE2__)
    asm volatile("" : "+x"(a.v));
#endif
    return a;
}

struct PartMask {
    decltype(Register() < Register()) v;
};
GAUSSMIX_INLINE PartMask less(Part a, Part b) { return {a.v < b.v}; }
GAUSSMIX_INLINE PartMask equal(Part a, Part b) { return {a.v == b.v}; }
GAUSSMIX_INLINE Part keep(PartMask m, Part a) { return {(Register)((RegisterBits)m.v & (RegisterBits)a.v)}; }
GAUSSMIX_INLINE Part select(PartMask m, Part yes, Part no) { return {m.v ? yes.v : no.v}; }
GAUSSMIX_INLINE PartMask operator|(PartMask a, PartMask b) { return {a.v | b.v}; }
GAUSSMIX_INLINE bool any(PartMask m) {
    const RegisterBits longs = (RegisterBits)m.v;
    return (longs[0] | longs[1]) != 0;
}
GAUSSMIX_INLINE unsigned bits(PartMask m) {
    unsigned all = 0;
    GAUSSMIX_UNROLL for (int i = 0; i < kPartLanes; ++i) all |= (m.v[i] & 1u) << i;
    return all;
}

GAUSSMIX_INLINE Part lookup(const double* table, Part index) {
    const RegisterBits indices = (RegisterBits)index.v & Bits{7};
    return {Register{table[indices[0]], table[indices[1]]}};
}

GAUSSMIX_INLINE RegisterBits wide_product(RegisterBits a, RegisterBits b) {
#if defined(__aarch64__)
    return (RegisterBits)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#elif defined(__SSE2__)
    return (RegisterBits)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
    return (a & Bits{0xffffffff}) * (b & Bits{0xffffffff});
#endif
}

GAUSSMIX_INLINE void add_lane_sums(double* sums, const Part* a) {
    GAUSSMIX_UNROLL for (int i = 0; i < 8; i += 2) {
        const Register total = pick<0, 2>(a[i].v, a[i + 1].v) + pick<1, 3>(a[i].v, a[i + 1].v);
        (Part::load(sums + i) + Part{total}).store(sums + i);
    }
}

GAUSSMIX_INLINE void transpose(Part (&a)[2]) {
    const Register odd = pick<1, 3>(a[0].v, a[1].v);
    a[0].v = pick<0, 2>(a[0].v, a[1].v);
    a[1].v = odd;
}

GAUSSMIX_INLINE void deinterleave(Part (&a)[2]) { transpose(a); }
GAUSSMIX_INLINE void deinterleave(Part (&a)[3]) {  // order of the numbers before the call: x y | z x | y z
    const Register x = pick<0, 3>(a[0].v, a[1].v), y = pick<1, 2>(a[0].v, a[2].v);
    a[2].v = pick<0, 3>(a[1].v, a[2].v);
    a[0].v = x;
    a[1].v = y;
}
GAUSSMIX_INLINE void deinterleave(Part (&a)[4]) {  // order of the numbers before the call: x y | z w | x y | z w
    const Register x = pick<0, 2>(a[0].v, a[2].v), y = pick<1, 3>(a[0].v, a[2].v), z = pick<0, 2>(a[1].v, a[3].v);
    a[3].v = pick<1, 3>(a[1].v, a[3].v);
    a[0].v = x;
    a[1].v = y;
    a[2].v = z;
}

}  // namespace gaussmix::GAUSSMIX_ISA
