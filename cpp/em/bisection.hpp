// Splits of components: EM with two components on the rows of one. Groups are whitened first, so that their shapes do not
// decide the cuts.
#pragma once
#include <vector>

#include "run_em.hpp"

namespace gaussmix {

constexpr double kRidge = 1e-9;        // added to the variances of a half; the whole has variance 1
constexpr double kLeastWeight = 0.02;  // of a half
constexpr double kResolved = 0x1p-26;  // least spread of a feature, relative to its size

struct GroupView {  // the rows of a component, in C order
    Index n_rows, n_features;
    const double* rows;
    const double* weight;  // (n_rows,), sums to 1
};

struct Bisection {
    double gain;       // over one component, nats per unit of weight; -inf where a half has hardly any rows
    bool is_full;      // whether halves have covariances, or variances only
    Values middle;     // (n_features,)
    Values whitening;  // (n_features, n_features), or (n_features,) without covariances
    Mixture mixture;   // of whitened rows
};

// EM with two components from a cut; (n_rows,) says which rows are of the second. Gives the log-likelihood; -inf where a
// half has less than the least weight.
double end_of_em(const KernelTable& kernels, const GroupView& group, const Algebra& algebra, const double* ridge,
                 const std::vector<bool>& is_second, const Execution& execution, Mixture& mixture,
                 double least = kLeastWeight);

struct Cuts {
    // (1 + n_features,), numbers from [0, 1): where the cut in a random direction lies, and its direction. Null for a single
    // cut of rows far from the mean from those near it, in place of this one and of that across the longest axis.
    const double* random;
    bool has_heavy = false;  // a further cut parts the heaviest row from the others
    bool has_tails = false;  // and one parts far rows from near ones along the axis with the farthest row
    double least_weight = kLeastWeight;
};

// Splits a group from each cut, and gives the best split. `scale`, (n_features,), are units in which axes are compared.
Bisection bisect(const KernelTable& kernels, const GroupView& group, bool is_full, const double* scale,
                 const Cuts& cuts, const Execution& execution);

// Responsibilities of the first half, (n_rows,), for rows in data units. None if interrupted.
Values first_responsibility(const KernelTable& kernels, const Bisection& bisection, const double* rows, Index n_rows,
                            const Execution& execution);

// Gains of log density over one component, nats, (n_rows,), for rows in data units. None if interrupted.
Values gains(const KernelTable& kernels, const Bisection& bisection, const double* rows, Index n_rows,
             const Execution& execution);

}  // namespace gaussmix
