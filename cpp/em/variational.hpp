// Variational Bayes: the E-step's scale and the divergence of a posterior. em/bayes/variational_posterior.py and
// em/priors/posterior.py contain the derivations; numerics/elementary.py calls the gamma functions.
#pragma once
#include "families/algebra.hpp"
#include "families/volume.hpp"

namespace gaussmix {

struct Mixture;  // run_em.hpp

struct PackedPriorView {  // the prior of a mixture, `engines.calls.PackedPrior`
    bool has_sticks;      // Dirichlet process; otherwise a Dirichlet distribution
    double alpha;         // concentration
    Index limit;          // number of components of the Dirichlet distribution
    const double* mean;   // (n_features,), data units
    double precision, dof;
    const double* scale;  // S, as a covariance in compact form, data units^2
    const double* roots;  // (n_features, n_features), the rows r of S = sum r r'; null unless S is a matrix
    double log_normaliser;
    double row_weight, unit;  // total weight of the rows; divisor of the weights
    bool is_of_point;         // EM finds the mixture of highest posterior density, not a posterior distribution
};

// Computes log Gamma(x) and its derivative for positive numbers.
void gammas(const KernelTable& kernels, const double* values, Index count, double* logs, double* derivatives);

// Returns the log density of a mixture, as `PosteriorObjective.log_prior` of em/priors/posterior.py does.
double log_density(const KernelTable& kernels, const PackedPriorView& prior, const Algebra& algebra, Index n_components,
                   Index n_features, const Mixture& mixture);

// Quantities of the posterior of `n_components` components. Components that share a covariance share the posterior of
// its inverse.
class Approximation {
public:
    Approximation(const KernelTable& kernels, const PackedPriorView& prior, const Algebra& algebra, Index n_components,
                  Index n_features);

    // Reads a mixture whose weights are fractions of the rows.
    void view_rows(const Mixture& mixture);

    // Returns the logarithms, (n_components,), that replace the log weights in the E-step.
    const double* log_weights() const { return log_weights_.data(); }
    // Returns KL(q || p) in nats.
    double divergence() const { return divergence_; }

    // Computes E log pi, (n,), of the weights from the rows in each component, and the log normaliser of q(pi) minus
    // the one of p(pi).
    double weigh(const double* mass, Index n, double* expected_logs);

    // Computes moments of covariances with these degrees of freedom and log |S / nu|, (n,): E log |Lambda| + log |S /
    // nu|, and the log normalisers of Lambda up to a constant.
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
