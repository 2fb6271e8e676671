// Rows, covariance structure and settings of an EM run.
#pragma once
#include "mixture.hpp"
#include "spans.hpp"
#include "variational.hpp"

namespace gaussmix {

struct TotalView {         // mean and second moments of all rows, if components share a full covariance
    const double* centre;  // (n_features,), mean of all rows
    const double* second;  // (n_features, n_features), sums of second moments about the mean, not divided by the weight
};

struct Limits {         // `LIMITS` in interfaces/parameters.py; Python runs the steps that would violate a limit
    double min_weight;  // minimum weight of a component, as a fraction of the total row weight
    // minimum standard deviation of a component, relative to its mean, because a smaller standard deviation may be a
    // rounding error
    double mean_rounding;
    // Largest allowed ratio of second moments about a reference point (anchor) to second moments about the new means.
    // An EM step that exceeds this ratio is first repeated with different reference points.
    double max_cancellation;
    // Largest allowed distance of a component's mean from the mean of all rows, in standard deviations of the
    // component. If a component's mean is farther away, moments are taken about the components' means instead of the
    // mean of all rows.
    double max_mean_distance;
};

struct EmView {
    RowsView rows;
    RowWeightView row_weight;
    PriorView row_prior;  // log prior probabilities of the components for each row
    double total_weight;
    Algebra algebra;
    Index n_components;
    // moments of all rows if components share a full covariance and there is no noise component; otherwise null
    TotalView total;
    const double* ridge;  // ridge, (n_features,), in squared units of the data
    Limits limits;
    // scale by which `begin_em` divides each feature to compute distances from centres, (n_features,); if null, every
    // scale is 1
    const double* unit = nullptr;
    double tolerance;                        // tolerance of the convergence check, in nats per unit of row weight
    double previous_objective = -kInfinity;  // objective of the last EM step before this call, or -inf
    Index max_steps;
    double seconds = kInfinity;  // time limit; no EM step begins later
    // `prior` is null for maximum likelihood. MAP estimates use the prior of `PosteriorObjective` in
    // em/priors/posterior.py, and variational Bayes uses the prior of em/bayes/variational_posterior.py.
    const PackedPriorView* prior = nullptr;
    // whether values may be missing (NaN) or rows have measurement errors; if so, `total` is null
    bool is_incomplete = false;
    ErrorView error = {};
    // log V of a noise component with the uniform density 1 / V; infinite if there is no noise component. The weight of
    // the noise component is stored after the weights of the Gaussian components. A noise component can be combined
    // neither with a prior nor with incomplete rows.
    double log_noise_volume = kInfinity;

    // Returns the number of (row, component) pairs that an EM step visits.
    double work_of_step() const { return static_cast<double>(rows.n_rows * n_components); }
    bool is_variational() const { return prior != nullptr && !prior->is_map; }
    bool has_noise() const { return log_noise_volume < kInfinity; }
    // Checks whether EM can use `total` instead of summing second moments.
    bool can_use_total() const { return algebra.is_one_matrix() && !is_incomplete && !has_noise(); }
};

}  // namespace gaussmix
