// Covariances Sigma = Lambda Lambda' + diag(psi) of factor analysers, which are never formed as matrices.
//
// Given a row x, the factors have the conditional mean beta (x - mean) and the conditional covariance P, where beta =
// Lambda' Sigma^-1 and P = I - beta Lambda.
#pragma once
#include "kernel_table.hpp"

namespace gaussmix {

struct LoadingsView {
    Index n, n_features, n_factors;
    const double* each;  // [Lambda | psi], (n, n_features, n_factors + 1)
};

struct FactorPosteriorView {
    const double* projections;            // matrices beta, (n, n_factors, n_features)
    const double* posterior_covariances;  // matrices P, (n, n_factors, n_factors)
};

struct LowRankWhiteningView {
    double* factors;      // whitening factors [F | w] (see kernels/low_rank.hpp), (n, n_features, n_factors + 1)
    double* log_abs_det;  // log |det W| of each whitening factor W, (n,)
    double *projections, *posterior_covariances;  // the arrays of `FactorPosteriorView`
    bool* failed;  // whether a covariance failed, so that its results must not be used, (n,)
};

// Computes the whitening factors, and the conditional means and covariances of the factors. A covariance fails if a
// noise variance is subnormal, negative or infinite, or if Sigma is singular to working precision, which is checked in
// the same way as for full covariances (kernels/factor.hpp).
void find_low_rank_whitening(const KernelTable& kernels, const LoadingsView& covariances, Listener listener,
                             const LowRankWhiteningView& out);

// Sums of the rows u = x - mean of each component, weighted by responsibilities r.
struct FactorSumsView {
    const double* mass;    // total weight of each component, (n,)
    const double* second;  // [sum r u (beta u)' | sum r u^2], (n, n_features, n_factors + 1)
};

// Makes one EM step for loadings and noise variances, in which the factors are the missing data, from the covariances
// `current`; `FactorAnalyzer` in families/factor_analyzer.py gives the sources. The loadings are separate for each
// component, or shared by all components. If E[f f'] is singular, the loadings and noise variances of the component
// are 0; if the loadings are shared, the loadings and noise variances of all components are 0.
void update_factors(const KernelTable& kernels, bool has_shared_loadings, const FactorSumsView& sums,
                    const LoadingsView& current, const FactorPosteriorView& posterior, Listener listener,
                    double* covariances);

}  // namespace gaussmix
