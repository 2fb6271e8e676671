// Defines vectors with kLanes lanes of double, and masks of these lanes. A vector is one part (register) or a nested
// pair of halves.
//
// Nothing in this file depends on the backend. Integer lanes use the vector extensions of gcc and clang.
#pragma once
#include "part.hpp"

namespace gaussmix::GAUSSMIX_ISA {

template <class Half>
struct HalfPair;
template <class T>
constexpr int kLanesOf = kPartLanes;
template <class Half>
constexpr int kLanesOf<HalfPair<Half>> = 2 * kLanesOf<Half>;

// A vector, a mask or a vector of integers (`Words`), as two halves.
template <class Half>
struct HalfPair {
    Half low, high;

    static constexpr int kHalf = kLanesOf<Half>;

    GAUSSMIX_INLINE static HalfPair zero() { return {Half::zero(), Half::zero()}; }
    template <class T>
    GAUSSMIX_INLINE static HalfPair broadcast(T x) {
        return {Half::broadcast(x), Half::broadcast(x)};
    }
    template <class T>
    GAUSSMIX_INLINE static HalfPair load(const T* p) {
        return {Half::load(p), Half::load(p + kHalf)};
    }
    GAUSSMIX_INLINE static HalfPair load_unaligned(const void* p) {
        return {Half::load_unaligned(p), Half::load_unaligned(static_cast<const double*>(p) + kHalf)};
    }
    template <class T>
    GAUSSMIX_INLINE void store(T* p) const {
        low.store(p), high.store(p + kHalf);
    }
    GAUSSMIX_INLINE void store_unaligned(double* p) const { low.store_unaligned(p), high.store_unaligned(p + kHalf); }

    GAUSSMIX_INLINE static HalfPair load_floats(const void* p) {
        return {Half::load_floats(p), Half::load_floats(static_cast<const float*>(p) + kHalf)};
    }
    GAUSSMIX_INLINE static HalfPair load_head(const void* p, int count) {
        return {Half::load_head(p, count), Half::load_head(static_cast<const double*>(p) + kHalf, count - kHalf)};
    }
    GAUSSMIX_INLINE static HalfPair load_floats_head(const void* p, int count) {
        return {Half::load_floats_head(p, count),
                Half::load_floats_head(static_cast<const float*>(p) + kHalf, count - kHalf)};
    }
    GAUSSMIX_INLINE void store_head(double* p, int count) const {
        low.store_head(p, count), high.store_head(p + kHalf, count - kHalf);
    }
};

template <class T, int kCount>
struct InParts {
    using type = HalfPair<typename InParts<T, kCount / 2>::type>;
};
template <class T>
struct InParts<T, 1> {
    using type = T;
};
using Vec = InParts<Part, kParts>::type;
using Mask = InParts<PartMask, kParts>::type;

// Returns part (register) h of a vector. If a vector has more than two parts, the part is read through memory, because
// loops over the parts are not unrolled.
GAUSSMIX_INLINE Part part(const Part& a, int) { return a; }
template <class Half>
GAUSSMIX_INLINE Part part(const HalfPair<Half>& a, int h) {
    constexpr int kBelow = kLanesOf<Half> / kPartLanes;
    if constexpr (kParts <= 2) return h < kBelow ? part(a.low, h) : part(a.high, h - kBelow);
    Part x;
    __builtin_memcpy(&x, reinterpret_cast<const Part*>(&a) + h, sizeof x);
    return x;
}
GAUSSMIX_INLINE void set_part(Part& a, int, Part x) { a = x; }
template <class Half>
GAUSSMIX_INLINE void set_part(HalfPair<Half>& a, int h, Part x) {
    constexpr int kBelow = kLanesOf<Half> / kPartLanes;
    if constexpr (kParts > 2) {
        __builtin_memcpy(reinterpret_cast<Part*>(&a) + h, &x, sizeof x);
    } else {
        h < kBelow ? set_part(a.low, h, x) : set_part(a.high, h - kBelow, x);
    }
}

// The following operations are applied to each half of a vector.
template <class Half>
GAUSSMIX_INLINE HalfPair<Half> join(Half low, Half high) {
    return {low, high};
}
#define GAUSSMIX_HALF_BY_HALF(name)                            \
    template <class A, class B>                                \
    GAUSSMIX_INLINE auto name(HalfPair<A> a, HalfPair<B> b) {  \
        return join(name(a.low, b.low), name(a.high, b.high)); \
    }
GAUSSMIX_HALF_BY_HALF(operator+)
GAUSSMIX_HALF_BY_HALF(operator-)
GAUSSMIX_HALF_BY_HALF(operator*)
GAUSSMIX_HALF_BY_HALF(operator/)
GAUSSMIX_HALF_BY_HALF(operator|)
GAUSSMIX_HALF_BY_HALF(max)
GAUSSMIX_HALF_BY_HALF(min)
GAUSSMIX_HALF_BY_HALF(less)
GAUSSMIX_HALF_BY_HALF(equal)
GAUSSMIX_HALF_BY_HALF(keep)
template <class Half>
GAUSSMIX_INLINE HalfPair<Half> fma(HalfPair<Half> a, HalfPair<Half> b, HalfPair<Half> c) {
    return {fma(a.low, b.low, c.low), fma(a.high, b.high, c.high)};
}
template <class M, class Half>
GAUSSMIX_INLINE HalfPair<Half> select(HalfPair<M> m, HalfPair<Half> yes, HalfPair<Half> no) {
    return {select(m.low, yes.low, no.low), select(m.high, yes.high, no.high)};
}
template <class Half>
GAUSSMIX_INLINE HalfPair<Half> sqrt(HalfPair<Half> a) {
    return {sqrt(a.low), sqrt(a.high)};
}
template <class M>
GAUSSMIX_INLINE bool any(HalfPair<M> m) {
    return any(m.low | m.high);
}
template <class M>
GAUSSMIX_INLINE unsigned bits(HalfPair<M> m) {  // bit i of the result belongs to lane i
    return bits(m.low) | bits(m.high) << kLanesOf<M>;
}

// Lanes that are interpreted as integers.
using Integers [[gnu::vector_size(sizeof(Part))]] = Bits;
GAUSSMIX_INLINE Integers integers(Part a) { return (Integers)a.v; }
GAUSSMIX_INLINE Part of_integers(Integers a) { return {(decltype(Part::v))a}; }

// Splits positive normal numbers x into fraction * 2^exponent, where the fraction is in [sqrt(1/2), sqrt(2)), as musl's
// log1p.c does. The constants are bit patterns of doubles; the pattern of sqrt(1/2) is rounded. Adding `one` -
// `half_root` to the bits of x carries into the exponent field exactly if the mantissa of x is at least the mantissa of
// sqrt(1/2). To convert the exponent to a double, its bits replace the mantissa bits of the double 2^52, which makes
// the value 2^52 plus the exponent; 2^52 and the bias 1023 are then subtracted.
GAUSSMIX_INLINE void split(Part x, Part& fraction, Part& exponent) {
    constexpr Bits one = 0x3ff0000000000000, half_root = 0x3fe6a09e00000000, mantissa = 0x000fffffffffffff;
    constexpr Bits two_to_52 = 0x4330000000000000;
    const Integers raised = integers(x) + (one - half_root);
    exponent = of_integers(raised >> 52 | two_to_52) - Part::broadcast(0x1p52 + 1023);
    fraction = of_integers((raised & mantissa) + half_root);
}
template <class Half>
GAUSSMIX_INLINE void split(HalfPair<Half> x, HalfPair<Half>& fraction, HalfPair<Half>& exponent) {
    split(x.low, fraction.low, exponent.low);
    split(x.high, fraction.high, exponent.high);
}

// Converts kLanes rows of D consecutive values to one vector for each of the D columns.
template <int D, class Half>
GAUSSMIX_INLINE void deinterleave(HalfPair<Half> (&a)[D]) {
    Part parts[kParts][D];
    GAUSSMIX_UNROLL for (int i = 0; i < kParts * D; ++i) parts[i / D][i % D] = part(a[i / kParts], i % kParts);
    GAUSSMIX_UNROLL for (int h = 0; h < kParts; ++h) deinterleave(parts[h]);
    GAUSSMIX_UNROLL for (int i = 0; i < kParts * D; ++i) set_part(a[i % D], i / D, parts[i / D][i % D]);
}

// Returns a * 2^(i div 8), where the low bits of each lane of `index` hold the integer i. The quotient i div 8, which
// starts at bit 3, is added to the exponent field, which starts at bit 52.
GAUSSMIX_INLINE Part scale_by_eighths(Part a, Part index) {
    return of_integers(integers(a) + ((integers(index) & ~Bits{7}) << 49));
}
GAUSSMIX_HALF_BY_HALF(scale_by_eighths)

// Returns table[i mod 8], where the low bits of each lane of `index` hold the integer i.
template <class Half>
GAUSSMIX_INLINE HalfPair<Half> lookup(const double* table, HalfPair<Half> index) {
    return {lookup(table, index.low), lookup(table, index.high)};
}

// Transposes the rows block by block, so that lane j of row i becomes lane i of row j.
template <class Half>
GAUSSMIX_INLINE void transpose(HalfPair<Half> (&rows)[kLanes]) {
    Vec columns[kLanes];
    GAUSSMIX_UNROLL for (int b = 0; b < kParts * kParts; ++b) {
        Part block[kPartLanes];
        GAUSSMIX_UNROLL for (int i = 0; i < kPartLanes; ++i) block[i] =
            part(rows[b / kParts * kPartLanes + i], b % kParts);
        transpose(block);
        GAUSSMIX_UNROLL for (int i = 0; i < kPartLanes; ++i) {
            set_part(columns[b % kParts * kPartLanes + i], b / kParts, block[i]);
        }
    }
    GAUSSMIX_UNROLL for (int i = 0; i < kLanes; ++i) rows[i] = columns[i];
}

GAUSSMIX_INLINE Part folded(Part a) { return a; }
template <class Half>
GAUSSMIX_INLINE Part folded(HalfPair<Half> a) {
    return folded(a.low + a.high);
}

}  // namespace gaussmix::GAUSSMIX_ISA
