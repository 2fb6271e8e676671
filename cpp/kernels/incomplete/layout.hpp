// This file defines the memory layout of the kernels for incomplete rows. A row is incomplete if some of its values are
// missing (NaN) or have measurement errors.
//
// A *pattern* is a set of missing features. Each pattern stores the indices of all features: first the `n_present`
// observed features, then the missing features. In arrays with one entry per component, the component is the last
// index, so that each lane of a vector holds one of eight components. The sums are the mass N, the first moments, and
// the lower triangle (by rows) of the second moments about the means, each for all components.
#pragma once
#include "../exp_log.hpp"
#include "../layout.hpp"

namespace gaussmix::GAUSSMIX_ISA::incomplete {

constexpr int kBatchRows = kLanes;  // number of rows whose responsibilities are computed together

constexpr Index index(Index i, Index j) { return i >= j ? triangle(i) + j : triangle(j) + i; }
constexpr Index n_moments(Index n_features) { return 1 + n_features + triangle(n_features); }

inline Index padded_components(const Shape& shape) { return round_up(shape.n_components, kLanes); }

struct Operands {
    Index log_weight, log_det, means, whitening;        // the component is the last index; triangles are stored by rows
    Index precision, covariance;                        // matrices in the layout [feature][feature][component]
    Index each_log_weight, each_mean, each_covariance;  // the component is the first index
    Index noise, size;

    explicit Operands(const Shape& shape) {
        const Index K = padded_components(shape), d = shape.n_features;
        Carver carver;
        log_weight = carver.take(K);
        log_det = carver.take(K);
        means = carver.take(d * K);
        whitening = carver.take(triangle(d) * K);
        precision = carver.take(d * d * K);
        covariance = carver.take(d * d * K);
        each_log_weight = carver.take(K);
        each_mean = carver.take(shape.n_components * d);
        each_covariance = carver.take(shape.n_components * triangle(d));
        noise = carver.take(1);
        size = carver.size();
    }
};

struct Sums {
    Index log_likelihood, noise, moments, size;

    explicit Sums(const Shape& shape) {
        Carver carver;
        log_likelihood = carver.take(1);
        noise = carver.take(1);
        moments = carver.take(n_moments(shape.n_features) * padded_components(shape));
        size = carver.size();
    }
};

// Sums over the rows of a span, separately for each lane.
struct Totals {
    Vec log_likelihood = Vec::zero(), noise = Vec::zero();
};

// Indices of up to eight rows that are processed together.
struct Batch {
    Index row[kBatchRows];
    int n_rows = 0;
};

// Logarithm of a product of any number of positive factors. The product itself may overflow or underflow.
class LogProduct {
public:
    GAUSSMIX_INLINE void multiply(Vec x) {
        Vec fraction, exponent;
        split(x, fraction, exponent);
        product_ = product_ * fraction;
        exponent_ = exponent_ + exponent;
        if (++n_factors_ % kMaxFactors == 0) carry();
    }
    GAUSSMIX_INLINE Vec value() {
        constexpr double ln2 = 6.93147180559945309417e-01;
        carry();
        return fma(exponent_, Vec::broadcast(ln2), log(product_));
    }

private:
    // Each factor is scaled to between sqrt(1/2) and sqrt(2), so that a product of this many factors cannot overflow.
    static constexpr int kMaxFactors = 512;
    GAUSSMIX_INLINE void carry() {
        Vec exponent;
        split(product_, product_, exponent);
        exponent_ = exponent_ + exponent;
    }
    Vec product_ = Vec::broadcast(1), exponent_ = Vec::zero();
    int n_factors_ = 0;
};

// Factorises a matrix A = L D L' in each lane. A is stored as its lower triangle by rows, and is replaced by -L below
// the diagonal and by 1/D on the diagonal. N is the number of rows of A; if N is 0, `any` is this number. Returns log
// |det A|.
template <int N>
Vec factorise(Index any, double* a) {
    const Index n = N > 0 ? N : any;
    LogProduct det;
    for (Index p = 0; p < n; ++p) {
        double* pivot = a + index(p, p) * kLanes;
        det.multiply(Vec::load(pivot));
        const Vec inverse = Vec::broadcast(1) / Vec::load(pivot), minus = Vec::zero() - inverse;
        inverse.store(pivot);
        for (Index i = p + 1; i < n; ++i) {
            const Vec factor = Vec::load(a + index(i, p) * kLanes) * minus;
            for (Index j = p + 1; j <= i; ++j) {
                double* element = a + index(i, j) * kLanes;
                fma(factor, Vec::load(a + index(j, p) * kLanes), Vec::load(element)).store(element);
            }
        }
        for (Index i = p + 1; i < n; ++i) {
            double* element = a + index(i, p) * kLanes;
            (Vec::load(element) * minus).store(element);
        }
    }
    return det.value();
}

// In each lane, replaces a symmetric matrix A, which is stored as its lower triangle by rows, by A^-1, using the sweep
// operator (Little & Rubin 2002, Statistical Analysis with Missing Data, chapter 7). A sweep on row p replaces
//
//   a_ij by a_ij - a_ip a_jp / a_pp,    a_ip by a_ip / a_pp,    a_pp by -1 / a_pp,    for i, j != p,
//
// and the sweeps on all rows turn A into -A^-1. Returns log |det A|.
template <int N>
Vec invert_small(double* matrix) {
    LogProduct det;
    Vec a[N * (N + 1) / 2];
    const auto at = [&](int i, int j) -> Vec& { return i >= j ? a[i * (i + 1) / 2 + j] : a[j * (j + 1) / 2 + i]; };
    GAUSSMIX_UNROLL for (int i = 0; i < N * (N + 1) / 2; ++i) a[i] = Vec::load(matrix + i * kLanes);
    GAUSSMIX_UNROLL for (int p = 0; p < N; ++p) {
        det.multiply(at(p, p));
        const Vec inverse = Vec::broadcast(1) / at(p, p), minus = Vec::zero() - inverse;
        GAUSSMIX_UNROLL for (int i = 0; i < N; ++i) {
            const Vec factor = at(i, p) * minus;
            GAUSSMIX_UNROLL for (int j = 0; j <= i; ++j) {
                if (i != p && j != p) at(i, j) = fma(factor, at(j, p), at(i, j));
            }
        }
        GAUSSMIX_UNROLL for (int i = 0; i < N; ++i) at(i, p) = at(i, p) * inverse;
        at(p, p) = minus;
    }
    GAUSSMIX_UNROLL for (int i = 0; i < N * (N + 1) / 2; ++i)(Vec::zero() - a[i]).store(matrix + i * kLanes);
    return det.value();
}

// Inverts a matrix of any size n in the same way as `invert_small`, which keeps matrices with up to 8 rows in local
// variables. `column` must have room for n vectors; each sweep copies column p to it, so that the innermost loop reads
// consecutive numbers.
inline Vec invert(Index n, double* a, double* column) {
    Vec small = Vec::zero();
    if (n <= 8) {
        with_constant(n, [&](auto count) { small = invert_small<decltype(count)::value>(a); });
        return small;
    }
    LogProduct det;
    for (Index p = 0; p < n; ++p) {
        const Vec pivot = Vec::load(a + index(p, p) * kLanes);
        det.multiply(pivot);
        const Vec inverse = Vec::broadcast(1) / pivot, minus = Vec::zero() - inverse;
        for (Index i = 0; i < n; ++i) Vec::load(a + index(i, p) * kLanes).store(column + i * kLanes);
        for (Index i = 0; i < n; ++i) {
            double* row = a + triangle(i) * kLanes;
            const Vec factor = Vec::load(column + i * kLanes) * minus;
            const auto add = [&](Index j) {
                fma(factor, Vec::load(column + j * kLanes), Vec::load(row + j * kLanes)).store(row + j * kLanes);
            };
            if (i < p) {
                for (Index j = 0; j <= i; ++j) add(j);
            } else if (i > p) {
                for (Index j = 0; j < p; ++j) add(j);
                for (Index j = p + 1; j <= i; ++j) add(j);
            }
        }
        for (Index i = 0; i < n; ++i) (Vec::load(column + i * kLanes) * inverse).store(a + index(i, p) * kLanes);
        minus.store(a + index(p, p) * kLanes);
    }
    for (Index i = 0; i < triangle(n) * kLanes; i += kLanes) (Vec::zero() - Vec::load(a + i)).store(a + i);
    return det.value();
}

// Replaces -L by M = L^-1, where L is a lower triangular matrix whose diagonal, which is not stored, has only ones. The
// elements M_ij = -L_ij - sum_{j < p < i} L_ip M_pj are computed row by row and from left to right, so that the
// elements L_ip are not overwritten yet and the elements M_pj are known.
inline void invert_unit(Index n, double* l) {
    for (Index i = 1; i < n; ++i) {
        for (Index j = 0; j < i; ++j) {
            Vec sum = Vec::load(l + index(i, j) * kLanes);
            for (Index p = j + 1; p < i; ++p)
                sum = fma(Vec::load(l + index(i, p) * kLanes), Vec::load(l + index(p, j) * kLanes), sum);
            sum.store(l + index(i, j) * kLanes);
        }
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA::incomplete
