// Finds axes D (in columns) that fit several scatter matrices S_k as well as possible. Rotations of two axes at a time
// lead from the initial D to a nearby local minimum of sum_k c_k log prod_j (D' S_k D)_jj; no rotation raises this sum.
// If the weights c_k are the masses of the components, these axes are Flury's common principal components (1984,
// Journal of the American Statistical Association 79). If c_k is prod_j (D' S_k D)_jj^(1/d), the geometric mean of the
// variances of component k, the rotations minimise the sum of these geometric means.
//
// Let v_p and v_q be the variances along axes p and q. A rotation by the angle t in the plane of these axes changes the
// product of the variances to m^2 - r^2, with m = (v_p + v_q) / 2, r = (cos 2t, sin 2t) (h, o)', h = (v_p - v_q) / 2
// and o = (D' S D)_pq. Both log(m^2 - r^2) and (m^2 - r^2)^(1/d) are concave in r^2, so both functions lie below their
// tangents, whose minimum has a closed form. Minimising the tangents is a majorise-minimise method, as in Browne &
// McNicholas (2014, Advances in Data Analysis and Classification 8), but with exact rotations. Each round rotates
// disjoint pairs of axes. Weights c_k that depend on D are computed at the beginning of each round.
//
// Each matrix is factorised once, S_k = G_k G_k'. A rotation of two axes then rotates two rows of each D' G_k, whose
// values are adjacent in memory, whereas a rotation of D' S_k D would also change two columns.
#pragma once
#include "exp_log.hpp"
#include "plane_rotation.hpp"
#include "power_of_two.hpp"
#include "principal_axes.hpp"

namespace gaussmix::GAUSSMIX_ISA::shared {

// Smallest gain for which axes are rotated, relative to sum_k c_k; smaller gains are below the rounding error of the
// log-likelihood.
constexpr double kMinGain = 4 * __DBL_EPSILON__;
constexpr int kMinSweeps = 20;  // number of sweeps before `SweepLimits::min_fraction` applies

struct Rotated {  // axes D, and the factors of the scatter matrices in the coordinates of these axes
    Index d, n, n_lanes, stride;
    double* rows;        // D' G_k, where S_k = G_k G_k', (n, d, stride), with one row for each axis
    double* variances;   // diagonals of D' S_k D, (d, n_lanes), with k as the last index
    double* products;    // elements (p, q) of D' S_k D for one pair of axes p and q, (n_lanes,)
    double* importance;  // weights c_k, (n_lanes,)
    double* axes;        // (d, stride), one axis in each row

    double* row(Index k, Index p) const { return rows + (k * d + p) * stride; }
    double* variance(Index p) const { return variances + p * n_lanes; }
    double* axis(Index p) const { return axes + p * stride; }
};

struct Proposal {  // a rotation, and twice the increase of sum_k c_k r_k^2 / (v_p v_q)
    Rotation rotation;
    double gain;
};

// Returns the rotation by half of `angle`; the returned angle is between -pi/2 and pi/2.
inline Rotation halved(Rotation angle) {
    const double larger = __builtin_sqrt((1 + __builtin_fabs(angle.cosine)) / 2);
    const double smaller = __builtin_fabs(angle.sine) / (2 * larger);
    return angle.cosine > 0 ? Rotation{larger, __builtin_copysign(smaller, angle.sine)}
                            : Rotation{smaller, __builtin_copysign(larger, angle.sine)};
}

// Returns the rotation of axes p and q that increases sum_k c_k r_k^2 / (v_p v_q) most, or no rotation if the gain is
// negligible. The sum is A cos^2 2t + 2 B cos 2t sin 2t + C sin^2 2t, where A, B and C are the sums of h^2, h o and o^2
// with the weights c_k / (v_p v_q). It is largest if 4t is the angle of the vector (x, y) = (A - C, 2 B).
GAUSSMIX_INLINE Proposal best_rotation(const Rotated& rotated, Index p, Index q, double total) {
    for (Index k = 0; k < rotated.n; ++k) {
        rotated.products[k] = principal::dot(rotated.row(k, p), rotated.row(k, q), rotated.stride);
    }
    Vec a_minus_c = Vec::zero(), b = Vec::zero();
    const double *first = rotated.variance(p), *second = rotated.variance(q), *off = rotated.products;
    for (Index i = 0; i < rotated.n_lanes; i += kLanes) {
        const Vec v = Vec::load(first + i), w = Vec::load(second + i), o = Vec::load(off + i);
        const Vec product = v * w, h = Vec::broadcast(0.5) * (v - w);
        const Vec weight = keep(less(Vec::zero(), product), Vec::load(rotated.importance + i) / product);
        a_minus_c = fma((h - o) * (h + o), weight, a_minus_c);
        b = fma(h * o, weight, b);
    }
    double x = lane_sum(a_minus_c), y = 2 * lane_sum(b);
    const double size = __builtin_fmax(__builtin_fabs(x), __builtin_fabs(y));
    if (!(size > 0 && size <= __DBL_MAX__)) return {{1, 0}, 0};
    x /= size, y /= size;
    const double length = __builtin_sqrt(x * x + y * y);
    // the gain is length - x; if x > 0, the quotient avoids cancellation
    const double gain = size * (x > 0 ? y * y / (length + x) : length - x);
    if (!(gain > kMinGain * total)) return {{1, 0}, 0};
    return {halved(halved({x / length, y / length})), gain};
}

// Rotates two axes, directly after `best_rotation` has computed their products.
GAUSSMIX_INLINE void rotate_pair(const Rotated& rotated, Index p, Index q, Rotation by) {
    for (Index k = 0; k < rotated.n; ++k) rotate(rotated.row(k, p), rotated.row(k, q), rotated.stride, by);
    rotate(rotated.axis(p), rotated.axis(q), rotated.stride, by);
    double *first = rotated.variance(p), *second = rotated.variance(q);
    const Vec c = Vec::broadcast(by.cosine), s = Vec::broadcast(by.sine);
    for (Index i = 0; i < rotated.n_lanes; i += kLanes) {
        const Vec v = Vec::load(first + i), w = Vec::load(second + i), o = Vec::load(rotated.products + i);
        fma(c, fma(c, v, s * o), s * fma(c, o, s * w)).store(first + i);
        (c * (c * w - s * o) - s * (c * o - s * v)).store(second + i);
    }
}

// Computes the variances from the rows, because rounding errors of rotations add up.
GAUSSMIX_INLINE void measure(const Rotated& rotated) {
    for (Index k = 0; k < rotated.n; ++k) {
        for (Index p = 0; p < rotated.d; ++p) {
            rotated.variance(p)[k] = principal::dot(rotated.row(k, p), rotated.row(k, p), rotated.stride);
        }
    }
}

// Computes the geometric mean prod_j v_kj^(1/d) of the variances of every scatter matrix k. The geometric mean is 0 if
// a variance is not positive. The arithmetic mean of the variances v_kj of each matrix must be at most 1.
GAUSSMIX_INLINE void take_geometric_means(const Rotated& rotated) {
    for (Index i = 0; i < rotated.n_lanes; i += kLanes) {
        Vec sum = Vec::zero();
        for (Index j = 0; j < rotated.d; ++j) {
            sum = sum + log_of_any(max(Vec::load(rotated.variance(j) + i), Vec::zero()));
        }
        const Vec mean = sum / Vec::broadcast(static_cast<double>(rotated.d));
        exp(min(mean, Vec::zero())).store(rotated.importance + i);
    }
}

// Rotates every pair of axes once, in rounds of disjoint pairs. Returns the gain of all rotations; it is 0 if no axes
// were rotated, or if the sweep is cancelled.
GAUSSMIX_INLINE double sweep(const Rotated& rotated, bool by_volumes, Poll& poll) {
    const Index n_seats = round_up(rotated.d, 2);
    double gain = 0;
    measure(rotated);
    for (Index round = 0; round < n_seats - 1; ++round) {
        if (by_volumes) take_geometric_means(rotated);
        double total = 0;
        for (Index i = 0; i < rotated.n_lanes; ++i) total += rotated.importance[i];
        for (Index i = 0; i < n_seats / 2; ++i) {
            const Pair pair = pair_of_round(n_seats, round, i);
            if (pair.q >= rotated.d) continue;  // if d is odd, one axis has no partner in each round
            const Proposal best = best_rotation(rotated, pair.p, pair.q, total);
            if (best.gain == 0) continue;
            rotate_pair(rotated, pair.p, pair.q, best.rotation);
            gain += best.gain;
            if (poll.is_cancelled(3 * rotated.n * rotated.stride)) return 0;
        }
    }
    return gain;
}

// Factorises the scatter matrix S_k, multiplied by `scale`, and writes the rows of D' G_k. `scratch` must have room for
// d (stride + 2) doubles.
GAUSSMIX_INLINE void load_scatter(const Rotated& rotated, Index k, const double* scatter, double scale, double* scratch,
                                  Poll& poll) {
    const Index d = rotated.d, stride = rotated.stride;
    const principal::Columns g{d, stride, scratch, nullptr};
    for (Index i = 0; i < d * stride; ++i) scratch[i] = 0;
    const Index rank = principal::cholesky_with_pivots(g, scatter, scale, scratch + d * stride, poll);
    for (Index p = 0; p < d; ++p) {
        for (Index j = 0; j < rank; ++j) rotated.row(k, p)[j] = principal::dot(rotated.axis(p), g.at(j), stride);
    }
}

inline double largest_variance(const ScattersView& scatters) {
    const Index d = scatters.n_features;
    double largest = 0;
    for (Index k = 0; k < scatters.n_components; ++k) {
        for (Index j = 0; j < d; ++j) largest = __builtin_fmax(largest, scatters.data[(k * d + j) * d + j]);
    }
    return largest;
}

// Sizes are arguments of this function, so that the compiler can optimise calls with constant sizes.
GAUSSMIX_INLINE void rotate_all(const ScattersView& scatters, Index d, Index n_lanes, Index stride, SweepLimits limits,
                                Poll& poll, double* scratch, double* axes) {
    const Index n = scatters.n_components;
    double *const variances = scratch + n * d * stride, *const products = variances + d * n_lanes,
                  *const importance = products + n_lanes, *const rotated_axes = importance + n_lanes,
                  *const scatter_scratch = rotated_axes + d * stride;
    const Rotated rotated{d, n, n_lanes, stride, scratch, variances, products, importance, rotated_axes};
    for (double* value = scratch; value < scatter_scratch; ++value) *value = 0;
    for (Index i = 0; i < d * d; ++i) rotated.axis(i % d)[i / d] = axes[i];
    const double scale = power_of_two_near_reciprocal(largest_variance(scatters));
    for (Index k = 0; k < n; ++k) {
        if (scatters.importance != nullptr) importance[k] = scatters.importance[k];
        if (poll.is_cancelled(2 * d * d * d)) return;
        load_scatter(rotated, k, scatters.data + k * d * d, scale, scatter_scratch, poll);
    }
    double total_gain = 0;
    for (int i = 1; i <= limits.max_sweeps; ++i) {
        const double gain = sweep(rotated, scatters.importance == nullptr, poll);
        total_gain += gain;
        if (gain == 0 || (i >= kMinSweeps && gain < limits.min_fraction * total_gain)) break;
    }
    for (Index i = 0; i < d * d; ++i) axes[i] = rotated.axis(i % d)[i / d];
}

}  // namespace gaussmix::GAUSSMIX_ISA::shared

namespace gaussmix::GAUSSMIX_ISA {

// Rotates the columns of `axes`, (d, d), so that they fit all scatter matrices. `scratch` must have room for
// shared_axes_scratch(n_components, d) doubles.
inline void shared_axes(const ScattersView& scatters, SweepLimits limits, Listener listener, double* scratch,
                        double* axes) noexcept {
    Poll poll(listener);
    const Index d = scatters.n_features;
    if (scatters.n_components <= kLanes && d <= kLanes) {
        switch (d) {
            case 2: return shared::rotate_all(scatters, 2, kLanes, kLanes, limits, poll, scratch, axes);
            case 3: return shared::rotate_all(scatters, 3, kLanes, kLanes, limits, poll, scratch, axes);
            case 4: return shared::rotate_all(scatters, 4, kLanes, kLanes, limits, poll, scratch, axes);
            default: return shared::rotate_all(scatters, d, kLanes, kLanes, limits, poll, scratch, axes);
        }
    }
    const Index n_lanes = round_up(scatters.n_components, kLanes), stride = round_up(d, kLanes);
    shared::rotate_all(scatters, d, n_lanes, stride, limits, poll, scratch, axes);
}

}  // namespace gaussmix::GAUSSMIX_ISA
