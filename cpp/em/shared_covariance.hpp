// Splits of components, and bounds on the gains of splits and merges, if all components share one covariance.
//
// For given responsibilities, a merge adds a multiple of u u' to the shared covariance, and a split subtracts such a
// term, where u is the difference of two means. The change of the log-determinant follows from the whitened vector u. A
// lower bound on the change of the log-likelihood follows from this log-determinant, the weights and the entropy of the
// responsibilities (Jensen's inequality).
#pragma once
#include "bisection.hpp"

namespace gaussmix {

struct LinearSplit {  // a component split into two halves by a hyperplane
    // Estimated lower bound on the change of the log-likelihood, in nats per unit of the total weight of all rows. It
    // is -inf if no split is found.
    double gain;
    // The log odds of the first half are direction' (x - mean) - threshold for row x.
    Values mean, direction;
    double threshold;
};

class SharedCovariance {
public:
    // The whitening factor of `mixture` must be known.
    SharedCovariance(const KernelTable& kernels, const Algebra& algebra, Index n_features, const Mixture& mixture)
        : kernels_(kernels), algebra_(algebra), d_(n_features), factor_(mixture.factors.data()) {}

    // Returns the change of the sum of r log(pi N(x | mu, Sigma)) over all rows and components if two components are
    // merged, in nats per unit of the total weight. `gap` is the difference of their means, and `one` and `other` are
    // their weights as fractions of the total weight.
    double merge_gain(const Values& gap, double one, double other) const;

    // Splits a component whose rows are given with weights that sum to 1. The first cut is at the mean, across the axis
    // on which the whitened rows vary most, and is then improved by EM of the two halves. `mass` is the weight of the
    // component as a fraction of the total weight. `random` has n_features random numbers in [0, 1).
    LinearSplit split(const GroupView& group, double mass, const double* random) const;

private:
    Values whitened(const Values& u) const;
    Values direction_of(const Values& whitened_direction) const;
    Values variance_ratios(const Values& u, double factor) const;
    double log_det_change(const Values& u, double factor) const;
    Values longest_axis(const GroupView& group, const double* random) const;

    const KernelTable& kernels_;
    const Algebra algebra_;
    const Index d_;
    const double* factor_;
};

// Returns the responsibility of the first half for each row, (n_rows,).
Values first_responsibility(const LinearSplit& split, const double* rows, Index n_rows);

}  // namespace gaussmix
