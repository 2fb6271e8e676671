// Variational Bayes: the E-step's scale and the divergence of a posterior. em/bayes/variational_posterior.py and
// em/priors/posterior.py say the same at length; numerics/elementary.py calls the gamma functions.
#pragma once
#include "families/algebra.hpp"
#include "families/volume.hpp"

namespace gaussmix {

struct Mixture;  // run_em.hpp

struct PackedPriorView {  // the prior of a mixture, `engines.calls.PackedPrior`, in rows
    bool has_sticks;      // of a Dirichlet process; otherwise a Dirichlet distribution
    double alpha;         // concentration
    Index limit;          // components of the Dirichlet distribution
    const double* mean;   // (n_features,), data units
    double precision, dof;
    const double* scale;  // S, as a covariance in compact form, data units^2
    const double* roots;  // (n_features, n_features), the rows r of S = sum r r'; null unless S is a matrix
    double log_normaliser;
    double row_weight, unit;  // of all rows; what weights were divided by
    bool is_of_point;         // EM looks for the mixture of highest density, and for no posterior
};

// log Gamma(x) and its derivative, of positive numbers.
void gammas(const KernelTable& kernels, const double* values, Index count, double* logs, double* derivatives);

// The log density of a mixture, as `PosteriorObjective.log_prior` of em/priors/posterior.py.
double log_density(const KernelTable& kernels, const PackedPriorView& prior, const Algebra& algebra, Index n_components,
                   Index n_features, const Mixture& mixture);

// What a posterior of so many components gives: those that share a covariance share the posterior of its inverse.
class Approximation {
public:
    Approximation(const KernelTable& kernels, const PackedPriorView& prior, const Algebra& algebra, Index n_components,
                  Index n_features);

    // The weights of the mixture are shares of the rows.
    void view_rows(const Mixture& mixture);

    // (n_components,): logs of the numbers that stand for the weights in the E-step.
    const double* log_weights() const { return log_weights_.data(); }
    // KL(q || p), nats.
    double divergence() const { return divergence_; }

    // Of the weights, from rows in each component: E log pi, (n,), and the log normaliser of q(pi) less that of p(pi).
    double weigh(const double* mass, Index n, double* expected_logs);

    // Of covariances with these degrees of freedom and log |S / nu|, (n,): E log |Lambda| + log |S / nu|, and the log
    // normalisers of Lambda up to a constant.
    void moments(const double* dof, const double* log_dets, Index n, double* expected, double* normalisers);

private:
    void find_gammas(Index count);

    const KernelTable& kernels_;
    const PackedPriorView prior_;
    const Algebra algebra_;
    const Index n_components_, d_, n_covariances_;
    Values mass_, log_weights_, dof_, log_dets_, expected_, normalisers_, values_, logs_, derivatives_;
    double divergence_ = 0;
};

}  // namespace gaussmix
