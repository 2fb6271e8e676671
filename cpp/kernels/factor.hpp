// Computes the whitening factor W = L^-1 of one covariance S = L L' (so that S^-1 = W' W), and log |det W| = -sum log
// L_jj.
//
// BLAS is not used, because its results differ between processors in the last bits. This file computes every element by
// one chain of FMAs in a fixed order. The compiler vectorises across independent elements, so that the width of the
// registers does not affect the last bits. For d features, the cost is d^3/3 FMAs: half of the FMAs compute L, the
// other half W.
#pragma once
#include "exp_log.hpp"
#include "layout.hpp"
#include "poll.hpp"

namespace gaussmix::GAUSSMIX_ISA {

// Computes to[i] += factor * from[i] for each i.
GAUSSMIX_INLINE void add_multiple(double factor, const double* __restrict from, Index count, double* __restrict to) {
    for (Index i = 0; i < count; ++i) to[i] = __builtin_fma(factor, from[i], to[i]);
}

constexpr Index kRowsTogether = 8;

// Computes to[i] -= sum_p factors[p * stride] * rows[p * stride + i] for each i, where p = 0 .. n_rows - 1, in order.
// Eight rows are subtracted together, because `to` is then loaded and stored only once for eight rows.
GAUSSMIX_INLINE void subtract_multiples(const double* factors, const double* rows, Index n_rows, Index stride,
                                        Index count, double* __restrict to) {
    for (; n_rows >= kRowsTogether; n_rows -= kRowsTogether) {
        double factor[kRowsTogether];
        GAUSSMIX_UNROLL for (int p = 0; p < kRowsTogether; ++p) factor[p] = -factors[p * stride];
        for (Index i = 0; i < count; ++i) {
            double sum = to[i];
            GAUSSMIX_UNROLL for (int p = 0; p < kRowsTogether; ++p) {
                sum = __builtin_fma(factor[p], rows[p * stride + i], sum);
            }
            to[i] = sum;
        }
        factors += kRowsTogether * stride;
        rows += kRowsTogether * stride;
    }
    for (Index p = 0; p < n_rows; ++p) add_multiple(-factors[p * stride], rows + p * stride, count, to);
}

// Writes the Cholesky factor L by columns; the elements of column j, starting at the diagonal, begin at out[j * d + j].
// Returns false if a pivot is not positive and finite, or if the computation was cancelled.
GAUSSMIX_INLINE bool cholesky(Index d, const double* covariance, Poll& poll, double* out) {
    for (Index j = 0; j < d; ++j) {
        if (poll.is_cancelled((j + 1) * (d - j))) return false;
        double* column = out + j * d + j;
        for (Index i = j; i < d; ++i) column[i - j] = covariance[i * d + j];
        subtract_multiples(out + j, out + j, j, d, d - j, column);
        const double pivot = column[0];
        if (!(pivot > 0 && pivot <= __DBL_MAX__)) return false;
        const double root = __builtin_sqrt(pivot);
        for (Index i = 0; i < d - j; ++i) column[i] = column[i] / root;
        column[0] = root;
    }
    return true;
}

// Inverts L, which is stored by columns, and writes W by rows: with the unit vector e_i, row i of W is (e_i - sum_{p <
// i} L_ip (row p of W)) / L_ii.
GAUSSMIX_INLINE void invert_triangle(Index d, const double* columns, Poll& poll, double* out) {
    for (Index i = 0; i < d && !poll.is_cancelled((i + 1) * (i + 1) / 2); ++i) {
        double* row = out + i * d;
        const double diagonal = columns[i * d + i];
        for (Index j = 0; j < d; ++j) row[j] = 0;
        for (Index p = 0; p < i; p += kRowsTogether) {
            const Index n_rows = smaller(kRowsTogether, i - p);
            subtract_multiples(columns + p * d + i, out + p * d, n_rows, d, p + n_rows, row);
        }
        for (Index j = 0; j < i; ++j) row[j] = row[j] / diagonal;
        row[i] = 1 / diagonal;
    }
}

inline double log_abs_det_of_inverse(Index d, const double* columns) {
    Vec sum = Vec::zero();
    for (Index j = 0; j < d; j += kLanes) {
        alignas(64) double diagonal[kLanes];
        for (Index i = 0; i < kLanes; ++i) diagonal[i] = j + i < d ? columns[(j + i) * d + j + i] : 1;
        sum = sum + log(Vec::load(diagonal));
    }
    return -lane_sum(sum);
}

// Checks whether rounding errors dominate the inverse of S. The ratio S_jj (S^-1)_jj = sum_i (sqrt(S_jj) W_ij)^2 is the
// variance of feature j divided by the variance of feature j given all other features, and does not depend on the units
// of the features. The pivots alone do not show whether S is singular, because the errors of the last pivots grow with
// the condition number of the leading block of S. In tests, each singular matrix had a feature for which the ratio was
// above 0.7 / (d eps), where eps is the machine epsilon.
GAUSSMIX_INLINE bool is_singular(Index d, const double* covariance, const double* factor, double* inflation) {
    const double limit = kMaxInflation / static_cast<double>(d);
    double* deviation = inflation + d;
    for (Index j = 0; j < d; ++j) {
        inflation[j] = 0;
        deviation[j] = __builtin_sqrt(covariance[j * d + j]);
    }
    for (Index i = 0; i < d; ++i) {
        for (Index j = 0; j <= i; ++j) {
            const double scaled = deviation[j] * factor[i * d + j];
            inflation[j] = __builtin_fma(scaled, scaled, inflation[j]);
        }
    }
    for (Index j = 0; j < d; ++j) {
        if (!(inflation[j] < limit)) return true;
    }
    return false;
}

GAUSSMIX_INLINE bool factorise_inline(Index d, const double* covariance, Poll& poll, double* scratch, double* factor,
                                      double* log_abs_det) {
    if (cholesky(d, covariance, poll, scratch)) {
        invert_triangle(d, scratch, poll, factor);
        *log_abs_det = log_abs_det_of_inverse(d, scratch);
        if (!is_singular(d, covariance, factor, scratch + d * d)) return true;
    }
    for (Index i = 0; i < d * d; ++i) factor[i] = __builtin_nan("");
    *log_abs_det = __builtin_nan("");
    return false;
}

// `scratch` must have room for d * (d + 2) doubles. Small values of d are passed as constants, so that the compiler
// unrolls the loops over features.
inline bool factorise(Index d, const double* covariance, Listener listener, double* scratch, double* factor,
                      double* log_abs_det) noexcept {
    Poll poll(listener);
    switch (d) {
        case 2: return factorise_inline(2, covariance, poll, scratch, factor, log_abs_det);
        case 3: return factorise_inline(3, covariance, poll, scratch, factor, log_abs_det);
        case 4: return factorise_inline(4, covariance, poll, scratch, factor, log_abs_det);
        default: return factorise_inline(d, covariance, poll, scratch, factor, log_abs_det);
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA
