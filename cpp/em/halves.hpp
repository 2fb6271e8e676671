// Splits of components: EM with two components on the rows of one. em/search/halves.py says the same at length.
#pragma once
#include <vector>

#include "run_em.hpp"

namespace gaussmix {

constexpr double kRidge = 1e-9;        // of a mean variance, as in em/search/halves.py
constexpr double kLeastWeight = 0.02;  // of a half

struct GroupView {  // the rows of a component, in C order
    Index n_rows, n_features;
    const double* rows;
    const double* weight;  // (n_rows,), sums to 1
};

struct Halves {
    double gain;        // over one component, nats per unit of weight; -inf where a half has hardly any rows
    bool is_full;       // whether halves have covariances, or variances only
    Numbers middle;     // (n_features,)
    Numbers whitening;  // (n_features, n_features), or (n_features,) without covariances
    Mixture mixture;    // of whitened rows
};

// EM with two components from a cut; (n_rows,) says which rows are of the second. Gives the log-likelihood; -inf where a
// half has less than the least weight.
double settled(const KernelTable& kernels, const GroupView& group, const Algebra& algebra, const double* ridge,
               const std::vector<bool>& is_second, const Execution& execution, Mixture& mixture,
               double least = kLeastWeight);

// Splits a group from a cut across its longest axis and from another cut, and gives the better split. `scale`,
// (n_features,), are units in which axes are compared; `cut`, (1 + n_features,), are numbers from [0, 1): where the
// other cut lies, and its direction; null for one cut instead, of rows far from the mean from those near it.
Halves halved(const KernelTable& kernels, const GroupView& group, bool is_full, const double* scale, const double* cut,
              const Execution& execution);

// Responsibilities of the first half, (n_rows,), for rows in data units. None if interrupted.
Numbers first_share(const KernelTable& kernels, const Halves& halves, const double* rows, Index n_rows,
                    const Execution& execution);

// Gains of log density over one component, nats, (n_rows,), for rows in data units. None if interrupted.
Numbers gains(const KernelTable& kernels, const Halves& halves, const double* rows, Index n_rows,
              const Execution& execution);

}  // namespace gaussmix
