// EM on a small table without returning to Python: the steps of em/step/loop.py, for the structures that `Algebra`
// describes.
#pragma once
#include <limits>

#include "families/update.hpp"
#include "spans.hpp"
#include "variational.hpp"

namespace gaussmix {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLog2Pi = 1.8378770664093456;

struct TotalView {         // moments of all rows as one component, if components share a full covariance
    const double* centre;  // (n_features,), mean of all rows
    const double* second;  // (n_features, n_features), second sums about the mean
};

struct Limits {         // a step that passes one of these limits (for `loss`, twice) is left to em/step/loop.py
    double min_weight;  // least fraction of the row weight that a component keeps
    double noise;       // least standard deviation, relative to the mean
    double loss;        // largest ratio of second moments about the anchor to moments about the new means
    // largest distance of a mean from the centre, in standard deviations; beyond it, sums are about the means
    double distance;
};

struct EmView {
    RowsView rows;
    RowWeightView row_weight;
    double total_weight;
    Algebra algebra;
    Index n_components;
    TotalView total;      // null unless components share a full covariance and there is no background
    const double* ridge;  // (n_features,), data units^2
    Limits limits;
    const double* unit = nullptr;  // (n_features,), units of distances from the centres of a start; null: 1
    double tolerance;              // nats per unit of row weight
    double previous = -kInfinity;  // objective of the preceding step
    Index max_steps;
    double seconds = kInfinity;  // time after which no further step begins
    // Null for maximum likelihood. For MAP estimates it holds the prior of `PosteriorObjective` of
    // em/priors/posterior.py, otherwise the prior of em/bayes/variational_posterior.py.
    const PackedPriorView* prior = nullptr;
    bool is_incomplete = false;  // values may be missing (NaN), or rows have errors; then there is no total
    ErrorView error = {};
    // log V of a uniform background, whose weight comes after the components' weights; infinite: no background. A
    // background excludes both a prior and incomplete rows.
    double log_volume = kInfinity;

    bool has_background() const { return log_volume < kInfinity; }
    bool has_one_matrix() const { return algebra.is_one_matrix() && !is_incomplete && !has_background(); }
};

struct MixtureView {      // mixture at which EM starts, and which it replaces
    double* weights;      // (n_components,), then the background's weight
    double* means;        // (n_components, n_features)
    double* covariances;  // in compact form
    double* factors;      // whitening factors of the covariances, with the size of the covariances; written only
    double* log_abs_det;  // log |det| of each factor; written only
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
    void read(const MixtureView& from);  // reads all but the factors, which are missing
    void write(const MixtureView& to) const;
};

// Computes the factors of the covariances. Returns false if a covariance is singular.
bool factorise(const KernelTable& kernels, const Algebra& algebra, Index d, Listener listener, Mixture& mixture);

// Writes the mean of all rows, and their second sums about it. Returns false if rows have no weight, or if interrupted.
bool sum_all(const KernelTable& kernels, const EmView& task, const Execution& execution, double* mean, double* second);

// Writes the mixture of an M-step from rows that belong to the nearest of some centres, which are `mixture.means` at
// first, or from given responsibilities. With given responsibilities an iterative covariance update begins at the
// covariances of the mixture. `has_model` is false if a limit would be passed. Returns false if interrupted.
bool begin_em(const KernelTable& kernels, const EmView& task, const Execution& execution,
              const AssignmentView& assignment, MixtureView mixture, bool& has_model);

// Appends the mean log-likelihood before each step. It stops when the objective has converged, when time is up, and
// before a step that would pass a limit, so that it can make no step at all only in the last case. With a prior,
// `objectives` receives the mean objective before each step; otherwise it stays empty. Returns false if interrupted.
bool run_em(const KernelTable& kernels, const EmView& task, const Execution& execution, MixtureView mixture,
            Values& log_likelihoods, Values* objectives = nullptr);

// Checks whether the last step of such a run changed the log-likelihood by less than the tolerance.
bool has_converged(const Values& log_likelihoods, double tolerance);

}  // namespace gaussmix
