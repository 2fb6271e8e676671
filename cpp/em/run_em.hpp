// Runs EM on a small table without returning to Python, for the covariance structures that `Algebra` describes. The EM
// steps are the same as in em/step/loop.py.
#pragma once
#include <limits>

#include "families/update.hpp"
#include "spans.hpp"
#include "variational.hpp"

namespace gaussmix {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLog2Pi = 1.8378770664093456;

struct TotalView {         // mean and second moments of all rows, if components share a full covariance
    const double* centre;  // (n_features,), mean of all rows
    const double* second;  // (n_features, n_features), sums of second moments about the mean, not divided by the weight
};

struct Limits {         // limits of EM steps; em/step/loop.py runs the steps that would violate a limit
    double min_weight;  // minimum weight of a component, as a fraction of the total row weight
    // minimum standard deviation of a component, relative to its mean, because a smaller standard deviation may be a
    // rounding error
    double noise;
    // Largest allowed ratio of second moments about a reference point (anchor) to second moments about the new means.
    // An EM step that exceeds this ratio is first repeated with other reference points.
    double loss;
    // Largest allowed distance of a component's mean from the mean of all rows, in standard deviations of the
    // component. If a component's mean is farther away, moments are taken about the components' means instead of the
    // mean of all rows.
    double distance;
};

struct EmView {
    RowsView rows;
    RowWeightView row_weight;
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
    double log_background_volume = kInfinity;

    bool has_background() const { return log_background_volume < kInfinity; }
    bool has_one_matrix() const { return algebra.is_one_matrix() && !is_incomplete && !has_background(); }
};

struct MixtureView {      // mixture at which EM begins; EM overwrites this mixture with the result
    double* weights;      // (n_components,), then the weight of the noise component, if any
    double* means;        // means of the components, (n_components, n_features)
    double* covariances;  // covariances in the compact form of the structure (see `Algebra::size`)
    double* factors;      // output: whitening factors of the covariances, in an array of the size of `covariances`
    double* log_abs_det;  // output: log |det| of each factor
};

struct Mixture {  // a mixture that owns its memory
    Values weights, means, covariances, factors, log_abs_det;

    Mixture() = default;
    Mixture(const Algebra& algebra, Index n_components, Index n_features, bool has_background = false)
        : weights(room(n_components + has_background)),
          means(room(n_components * n_features)),
          covariances(room((algebra.is_shared() ? 1 : n_components) * algebra.size(n_features))),
          factors(room(static_cast<Index>(covariances.size()))),
          log_abs_det(room(algebra.is_shared() ? 1 : n_components)) {}

    MixtureView view() {
        return {weights.data(), means.data(), covariances.data(), factors.data(), log_abs_det.data()};
    }
    void read(const MixtureView& from);  // reads all arrays except `factors` and `log_abs_det`
    void write(const MixtureView& to) const;
};

// Computes the whitening factors of the covariances. Returns false if a covariance is singular.
bool factorise(const KernelTable& kernels, const Algebra& algebra, Index d, Listener listener, Mixture& mixture);

// Writes the mean of all rows, and the sum of second moments about this mean. Returns false if the rows have no weight,
// or if interrupted.
bool sum_all(const KernelTable& kernels, const EmView& task, const Execution& execution, double* mean, double* second);

// Performs an M-step and writes the resulting mixture. The caller passes responsibilities or labels in `assignment`. If
// `assignment` is empty, each row belongs to the nearest of the centres in `mixture.means`. If responsibilities are
// given, an iterative covariance update begins at `mixture.covariances`. Returns false if the M-step would violate
// `em.limits`, or if interrupted.
bool begin_em(const KernelTable& kernels, const EmView& task, const Execution& execution,
              const AssignmentView& assignment, MixtureView mixture);

// Runs EM, and appends the mean log-likelihood before each step to `log_likelihoods`. EM stops when the objective has
// converged, when `max_steps` or `seconds` is reached, or before a step that would violate `em.limits`. EM ends without
// a step only if an initial covariance is singular or the first step would violate `em.limits`. With a prior,
// `objectives` receives the mean objective before each step; without a prior, `objectives` stays empty. Returns false
// if interrupted.
bool run_em(const KernelTable& kernels, const EmView& task, const Execution& execution, MixtureView mixture,
            Values& log_likelihoods, Values* objectives = nullptr);

// Checks whether the last step of a run changed the log-likelihood by less than the tolerance.
bool has_converged(const Values& log_likelihoods, double tolerance);

}  // namespace gaussmix
