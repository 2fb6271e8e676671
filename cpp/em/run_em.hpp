// EM on a small table without coming back to Python: the steps of em/step/loop.py once more, for families that are algebra.
#pragma once
#include <limits>

#include "families/update.hpp"
#include "spans.hpp"
#include "variational.hpp"

namespace gaussmix {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLog2Pi = 1.8378770664093456;

struct TotalView {         // of all rows as one component, for a full covariance that all components share
    const double* centre;  // (n_features,), their mean
    const double* second;  // (n_features, n_features), about it
};

struct Limits {         // a step that passes one of them is left to em/step/loop.py; of the loss, the second time
    double min_weight;  // the least share of the row weight that a component keeps
    double noise;       // the least standard deviation, as a part of the mean
    double loss;        // how many times larger second moments are about the anchor than about the new means
    double distance;    // how many standard deviations a mean is from the centre; beyond, sums are about the means
};

struct EmView {
    RowsView rows;
    RowWeightView row_weight;
    double total_weight;
    Algebra algebra;
    Index n_components;
    TotalView total;      // null unless components share a full covariance, without a background
    const double* ridge;  // (n_features,), data units^2
    Limits limits;
    const double* unit = nullptr;  // (n_features,), of distances from the centres of a start; null: 1
    double tolerance;              // nats per unit of row weight
    double previous = -kInfinity;  // the objective of the step before
    Index max_steps;
    double seconds = kInfinity;  // it makes no further step after so long
    // Null: maximum likelihood. Of a point: `PosteriorObjective` of em/priors/posterior.py; otherwise that of em/bayes/variational.py.
    const PackedPriorView* prior = nullptr;
    bool is_incomplete = false;  // cells may be missing (NaN), or rows have errors; there is no total then
    ErrorView error = {};
    // log V of a uniform background, whose weight comes after those of the components; infinite: there is none. It goes
    // with neither a belief nor rows that are known in part.
    double log_volume = kInfinity;

    bool has_background() const { return log_volume < kInfinity; }
    bool has_one_matrix() const { return algebra.is_one_matrix() && !is_incomplete && !has_background(); }
};

struct MixtureView {      // where EM starts, and where it ends
    double* weights;      // (n_components,), and that of a background
    double* means;        // (n_components, n_features)
    double* covariances;  // in compact form
    double* factors;      // written only: the whitening factors of the covariances, of their size
    double* log_abs_det;  // written only: log |det| of each factor
};

struct Mixture {  // in memory of its own
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
    void read(const MixtureView& from);  // without the factors, which lack
    void write(const MixtureView& to) const;
};

// Finds the factors of the covariances. False where one is singular.
bool factorise(const KernelTable& kernels, const Algebra& algebra, Index d, Listener listener, Mixture& mixture);

// Writes the mean of all rows, and their second sums about it. False where they have no weight, and if interrupted.
bool sum_all(const KernelTable& kernels, const EmView& task, const Execution& execution, double* mean, double* second);

// Writes the mixture of an M-step on rows that have gone to the nearest of some centres, `mixture.means` at first, or
// that components share as given. The update for given rows begins at the covariances of the mixture, if it needs some
// to begin at. Finds none where a limit would be passed. False if interrupted.
bool begin_em(const KernelTable& kernels, const EmView& task, const Execution& execution,
              const AssignmentView& assignment, MixtureView mixture, bool& has_model);

// Appends the mean log-likelihood before each step that it makes. It stops when the objective has converged, when time is
// up, and before a step that would pass a limit; only then can it make no step at all. False if interrupted.
// `objectives` takes the mean objective before each step, where there is a belief; otherwise it stays empty.
bool run_em(const KernelTable& kernels, const EmView& task, const Execution& execution, MixtureView mixture,
            Values& log_likelihoods, Values* objectives = nullptr);

// Whether the last step of such a run changed the log-likelihood by less than the tolerance.
bool has_converged(const Values& log_likelihoods, double tolerance);

}  // namespace gaussmix
