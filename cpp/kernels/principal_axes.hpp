// Computes the eigenvalues and eigenvectors of one symmetric positive semidefinite matrix A, by the method of Veselic &
// Hari (1989, Numerische Mathematik 56). A Cholesky factorisation with pivots gives A = G G'. Jacobi rotations of
// pairs of columns then make all columns of G orthogonal, so that G V = U diag(s) and A = U diag(s^2) U'. If one of two
// columns is far longer than the other, a rotation changes each column, relative to its length, by about the cosine
// between the two columns at most. Therefore the relative accuracy of small eigenvalues depends only on the condition
// of the correlation matrix D^-1 A D^-1, where D^2 is the diagonal of A (Demmel & Veselic 1992, SIAM Journal on Matrix
// Analysis and Applications 13). In contrast, LAPACK's eigenvalues are accurate only relative to the largest
// eigenvalue. The columns of G are stored one after another, each padded with zeros to a multiple of eight doubles
// (lanes). The cost is d^3/2 FMAs for G, then 4 d^3 FMAs for each of four to eight sweeps.
#pragma once
#include "factor.hpp"
#include "plane_rotation.hpp"
#include "power_of_two.hpp"

namespace gaussmix::GAUSSMIX_ISA::principal {

// maximum number of sweeps, never reached in practice; the maximum stops rotations that only rounding errors cause
constexpr int kMaxSweeps = 60;
constexpr double kTaken = -__DBL_MAX__;  // replaces the variance of a feature that already has a column

// Returns the scalar product of two columns, including their padding, which is zero.
GAUSSMIX_INLINE double dot(const double* a, const double* b, Index stride) {
    Vec sum = Vec::zero();
    for (Index i = 0; i < stride; i += kLanes) sum = fma(Vec::load(a + i), Vec::load(b + i), sum);
    return lane_sum(sum);
}

struct Columns {
    Index d, stride;
    double* data;     // (d, stride), one column of the matrix in each row
    double* squared;  // squared lengths of the columns, (d,)

    double* at(Index j) const { return data + j * stride; }
    void measure(Index j) const { squared[j] = dot(at(j), at(j), stride); }
};

// Returns the largest variance, from which the scale of the matrix is computed. Returns 0 if no variance is positive or
// an entry is not finite.
inline double largest_variance(Index d, const double* matrix) {
    double largest = 0;
    for (Index i = 0; i < d * d; ++i) {
        if (!(__builtin_fabs(matrix[i]) <= __DBL_MAX__)) return 0;
    }
    for (Index i = 0; i < d; ++i) largest = matrix[i * (d + 1)] > largest ? matrix[i * (d + 1)] : largest;
    return largest;
}

// Writes the columns of G, and returns their number. A feature gets a column only if the earlier columns leave at least
// a fraction d eps of the feature's variance, because a smaller remainder may be a rounding error. `rest` must have
// room for 2 d doubles.
inline Index cholesky_with_pivots(const Columns& g, const double* matrix, double scale, double* rest, Poll& poll) {
    const Index d = g.d;
    double* least = rest + d;
    for (Index i = 0; i < d; ++i) {
        rest[i] = matrix[i * (d + 1)] * scale;
        least[i] = static_cast<double>(d) * __DBL_EPSILON__ * rest[i];
    }
    for (Index rank = 0; rank < d; ++rank) {
        Index pivot = -1;
        for (Index i = 0; i < d; ++i) {
            if (rest[i] > least[i] && (pivot < 0 || rest[i] > rest[pivot])) pivot = i;
        }
        if (pivot < 0 || poll.is_cancelled((rank + kCostOfMoving) * d)) return rank;
        double* column = g.at(rank);
        for (Index i = 0; i < d; ++i) column[i] = matrix[pivot * d + i] * scale;
        subtract_multiples(g.at(0) + pivot, g.at(0), rank, g.stride, d, column);
        const double root = __builtin_sqrt(rest[pivot]);
        for (Index i = 0; i < d; ++i) {
            column[i] = rest[i] == kTaken ? 0 : column[i] / root;
            rest[i] = __builtin_fma(-column[i], column[i], rest[i]);
        }
        column[pivot] = root;
        rest[pivot] = kTaken;
    }
    return d;
}

// Returns sum_i |a_i b_i|, because the rounding error of the scalar product of two columns is proportional to this sum.
GAUSSMIX_INLINE double sizes(const double* a, const double* b, Index d) {
    double sum = 0;
    for (Index i = 0; i < d; ++i) sum += __builtin_fabs(a[i] * b[i]);
    return sum;
}

// Checks whether two columns are orthogonal up to rounding errors. If one column is far longer than the other, the
// scalar product of the columns must also be below the rounding error of this product. Otherwise, the shorter column
// could still contain a relevant part of the longer column, although the cosine between the columns is below the
// rounding error of a cosine.
GAUSSMIX_INLINE bool are_orthogonal(const Columns& g, Index p, Index q, double product, double limit) {
    const double first = g.squared[p], second = g.squared[q], size = __builtin_fabs(product);
    if (size > limit * (__builtin_sqrt(first) * __builtin_sqrt(second))) return false;
    const bool is_graded = __builtin_fmin(first, second) < __DBL_EPSILON__ * __builtin_fmax(first, second);
    return !is_graded || !(size > limit * sizes(g.at(p), g.at(q), g.d));
}

// Makes two columns orthogonal; returns false if the columns are orthogonal already.
GAUSSMIX_INLINE bool orthogonalise(const Columns& g, Index p, Index q, double limit) {
    const double product = dot(g.at(p), g.at(q), g.stride);
    if (are_orthogonal(g, p, q, product, limit)) return false;
    const double cotangent = 0.5 * (g.squared[q] - g.squared[p]) / product, size = __builtin_fabs(cotangent);
    // If `size` is large, sqrt(1 + size^2) is rounded to `size`, and size^2 could overflow.
    const double root = size < 1e8 ? __builtin_sqrt(1 + cotangent * cotangent) : size;
    const double tangent = __builtin_copysign(1 / (size + root), cotangent);
    if (tangent == 0) return false;
    const double cosine = 1 / __builtin_sqrt(1 + tangent * tangent);
    rotate(g.at(p), g.at(q), g.stride, {cosine, -cosine * tangent});
    g.measure(p);
    g.measure(q);
    return true;
}

GAUSSMIX_INLINE void diagonalise(const Columns& g, Index rank, Poll& poll) {
    const double limit = __builtin_sqrt(static_cast<double>(g.d)) * __DBL_EPSILON__;  // rounding error of cosines
    for (Index j = 0; j < rank; ++j) g.measure(j);
    const Index n_seats = round_up(rank, 2);
    bool has_rotated = true;
    for (int sweep = 0; has_rotated && sweep < kMaxSweeps; ++sweep) {
        has_rotated = false;
        for (Index round = 0; round < n_seats - 1; ++round) {
            for (Index i = 0; i < n_seats / 2; ++i) {
                const Pair pair = pair_of_round(n_seats, round, i);
                if (pair.q < rank) has_rotated |= orthogonalise(g, pair.p, pair.q, limit);
            }
            if (poll.is_cancelled(2 * n_seats * g.stride)) return;
        }
    }
}

// Adds unit vectors as columns, each orthogonal to all other columns. Each new column is made from the coordinate axis
// that is furthest from the subspace that the existing columns span. On entry, the first `rank` columns are unit
// vectors, and the other columns are zero. `rest` must have room for d doubles, the squared distances of the coordinate
// axes from the subspace.
inline void complete(const Columns& g, Index rank, double* rest, Poll& poll) {
    for (Index i = 0; i < g.d; ++i) {
        rest[i] = 1;
        for (Index j = 0; j < rank; ++j) rest[i] = __builtin_fma(-g.at(j)[i], g.at(j)[i], rest[i]);
    }
    for (; rank < g.d && !poll.is_cancelled(4 * rank * g.stride); ++rank) {
        Index furthest = 0;
        for (Index i = 1; i < g.d; ++i) furthest = rest[i] > rest[furthest] ? i : furthest;
        double* column = g.at(rank);
        column[furthest] = 1;
        for (int twice = 0; twice < 2; ++twice) {  // the second pass removes the rounding errors of the first pass
            for (Index j = 0; j < rank; ++j) add_multiple(-dot(g.at(j), column, g.stride), g.at(j), g.d, column);
        }
        const double length = __builtin_sqrt(dot(column, column, g.stride));
        for (Index i = 0; i < g.d; ++i) {
            column[i] = column[i] / length;
            rest[i] = __builtin_fma(-column[i], column[i], rest[i]);
        }
    }
}

// Writes eigenvalues and eigenvectors, the largest eigenvalue first; equal eigenvalues keep their order.
inline void write_in_order(const Columns& g, double scale, double* spectrum, double* axes) {
    for (Index index = 0; index < g.d; ++index) {
        Index next = 0;
        for (Index j = 1; j < g.d; ++j) next = g.squared[j] > g.squared[next] ? j : next;
        spectrum[index] = g.squared[next] * scale;
        for (Index i = 0; i < g.d; ++i) axes[i * g.d + index] = g.at(next)[i];
        g.squared[next] = -1;
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA::principal

namespace gaussmix::GAUSSMIX_ISA {

// Writes the eigenvalues, (d,), and the eigenvectors in the columns of `axes`, (d, d). `scratch` must have room for
// principal_axes_scratch(d) doubles. A matrix that contains infinity or NaN is treated as the zero matrix.
inline void principal_axes(Index d, const double* matrix, Listener listener, double* scratch, double* spectrum,
                           double* axes) noexcept {
    Poll poll(listener);
    const Index stride = round_up(d, kLanes);
    const principal::Columns g{d, stride, scratch, scratch + d * stride};
    double* rest = scratch + (d + 1) * stride;
    for (Index i = 0; i < (d + 1) * stride; ++i) scratch[i] = 0;
    Index rank = 0;
    const double largest = principal::largest_variance(d, matrix);
    const double scale = power_of_two_near_reciprocal(largest);
    if (largest > 0) rank = principal::cholesky_with_pivots(g, matrix, scale, rest, poll);
    if (stride == kLanes) {  // in this branch, the compiler can treat the stride as a constant
        principal::diagonalise({d, kLanes, g.data, g.squared}, rank, poll);
    } else {
        principal::diagonalise(g, rank, poll);
    }
    for (Index j = 0; j < rank; ++j) {
        const double length = __builtin_sqrt(g.squared[j]);
        for (Index i = 0; i < d; ++i) g.at(j)[i] = g.at(j)[i] / length;
    }
    principal::complete(g, rank, rest, poll);
    principal::write_in_order(g, 1 / scale, spectrum, axes);
}

}  // namespace gaussmix::GAUSSMIX_ISA
