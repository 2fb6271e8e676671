// Computes the quantities of variational Bayes that EM needs: the expectations that replace the log weights in the
// E-step, and the divergence of the posterior from the prior. The derivations are in em/bayes/variational_posterior.py
// and em/priors/posterior.py. The Python module numerics/elementary.py calls `gammas`.
#pragma once
#include "families/algebra.hpp"
#include "mixture.hpp"
#include "values.hpp"

namespace gaussmix {

struct PackedPriorView {          // prior of a mixture, with the fields of engines.calls.PackedPrior
    bool has_stick_breaking;      // whether the prior is a Dirichlet process, not a Dirichlet distribution
    double weight_concentration;  // concentration parameter
    Index max_components;         // number of components (categories) of the Dirichlet distribution
    const double* mean;           // mean of the prior, (n_features,), in the units of the data
    double mean_precision, dof;
    const double* scale;  // scale matrix S in the compact form of covariances, in squared units of the data
    // matrix whose rows r satisfy S = sum r r', (n_features, n_features); null if S is not a full matrix
    const double* scale_roots;
    double log_normaliser;
    double total_weight, weight_unit;  // total weight of the rows; number by which the weights were divided
    bool is_map;                       // whether EM finds a MAP estimate, not a posterior distribution
    bool has_fixed_weights;            // whether EM keeps the initial weights of all components
};

// Computes log Gamma(x) and its derivative for positive numbers x.
void gammas(const KernelTable& kernels, const double* values, Index count, double* logs, double* derivatives);

// Returns the log density of the prior at a mixture, as `PosteriorObjective.log_prior` in em/priors/posterior.py does.
double log_prior(const KernelTable& kernels, const PackedPriorView& prior, const Algebra& algebra, Index n_components,
                 Index n_features, const Mixture& mixture);

// Variational posterior of a mixture with `n_components` components. Components that share a covariance also share the
// posterior of the inverse of this covariance.
class Posterior {
public:
    Posterior(const KernelTable& kernels, const PackedPriorView& prior, const Algebra& algebra, Index n_components,
              Index n_features);

    // Computes the posterior from a mixture, whose weights must be fractions of the total weight of the rows. `update`
    // also computes `log_weights` and `divergence`.
    void set_posterior(const Mixture& mixture);
    void update(const Mixture& mixture);

    const Values& mass() const { return mass_; }  // numbers of rows of the components, (n_components,)
    // Degrees of freedom and log normalisers (up to a constant) of the precision matrices, (n_covariances,).
    const Values& dof() const { return dof_; }
    const Values& normalisers() const { return normalisers_; }
    double weights_normaliser() const { return weights_normaliser_; }  // see `weight_expectations`

    // Returns the logarithms, (n_components,), that replace the log weights in the E-step.
    const double* log_weights() const { return log_weights_.data(); }
    // Returns the divergence KL(q || p) of the posterior q from the prior p, in nats.
    double divergence() const { return divergence_; }

    // Writes the expectations E log pi of the log weights, (n,), given the numbers of rows `mass` in the components.
    // Returns the log normaliser of the posterior q(pi) minus the log normaliser of the prior p(pi).
    double weight_expectations(const double* mass, Index n, double* expected_logs);

    // Computes moments of precision matrices Lambda from their degrees of freedom nu, (n,), and from log |S / nu|,
    // (n,), where S is the scale matrix. `expected` receives E log |Lambda| + log |S / nu|, and `normalisers` receives
    // the log normalisers of the distributions of Lambda, up to a constant.
    void wishart_moments(const double* dof, const double* log_dets, Index n, double* expected, double* normalisers);

private:
    void find_gammas(Index count);

    const KernelTable& kernels_;
    const PackedPriorView prior_;
    const Algebra algebra_;
    const Index n_components_, d_, n_covariances_;
    Values mass_, log_weights_, dof_, log_dets_, expected_, normalisers_, values_, logs_, derivatives_;
    double weights_normaliser_ = 0, divergence_ = 0;
};

}  // namespace gaussmix
