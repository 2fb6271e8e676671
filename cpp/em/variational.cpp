#include "variational.hpp"

namespace gaussmix {

namespace {

// smallest argument for which the asymptotic series of log Gamma and of the derivative of log Gamma are used
constexpr double kMinSeriesArgument = 12;
// Coefficients B_2n / (2n (2n - 1)) and B_2n / 2n, where B_2n are the Bernoulli numbers, n = 1..8; Abramowitz & Stegun
// (1964) 6.1.41 and 6.3.18.
constexpr double kLogGammaTerms[] = {1.0 / 12,   -1.0 / 360,      1.0 / 1260, -1.0 / 1680,
                                     1.0 / 1188, -691.0 / 360360, 1.0 / 156,  -3617.0 / 122400};
constexpr double kDigammaTerms[] = {1.0 / 12,  -1.0 / 120,     1.0 / 252, -1.0 / 240,
                                    1.0 / 132, -691.0 / 32760, 1.0 / 12,  -3617.0 / 8160};

double series(const double (&coefficients)[8], double x) {
    const double square = 1 / (x * x);
    double total = 0;
    for (int n = 7; n >= 0; --n) total = (total + coefficients[n]) * square;
    return total;
}

// Returns tr(S W'W), where S is the scale matrix of the prior and W is a whitening factor. If W is a single number 1 /
// sigma, the result is d S / sigma^2.
double trace(const PackedPriorView& prior, const Algebra& algebra, Index d, const double* factor) {
    double total = 0;
    switch (algebra.factor_shape()) {
        case FactorShape::spherical: return static_cast<double>(d) * prior.scale[0] * (factor[0] * factor[0]);
        case FactorShape::diagonal:
            for (Index j = 0; j < d; ++j) total += prior.scale[j] * (factor[j] * factor[j]);
            return total;
        default:
            for (Index c = 0; c < d; ++c) {
                const auto root = [&](Index j) { return prior.scale_roots[c * d + j]; };
                for (Index i = 0; i < d; ++i) {
                    const double element = whitened_element(FactorShape::triangular, d, factor, i, root);
                    total += element * element;
                }
            }
            return total;
    }
}

// Returns |W (mean - m)|^2, where W is the whitening factor `factor` and m is the mean of the prior.
double distance(const PackedPriorView& prior, const Algebra& algebra, Index d, const double* factor,
                const double* mean) {
    const auto offset = [&](Index j) { return mean[j] - prior.mean[j]; };
    double total = 0;
    for (Index i = 0; i < d; ++i) {
        const double element = whitened_element(algebra.factor_shape(), d, factor, i, offset);
        total += element * element;
    }
    return total;
}

}  // namespace

double log_prior(const KernelTable& kernels, const PackedPriorView& prior, const Algebra& algebra, Index n_components,
                 Index n_features, const Mixture& mixture) {
    const double* factors = mixture.factors.data();
    const Index n_covariances = algebra.n_covariances(n_components), size = algebra.size(n_features);
    const double n_each = static_cast<double>(n_components / n_covariances);
    double nats = 0, log_weight_prior = 0;
    for (Index i = 0; i < n_covariances; ++i) {
        nats += trace(prior, algebra, n_features, factors + i * size) - 2 * n_each * prior.dof * mixture.log_abs_det[i];
    }
    for (Index k = 0; k < n_components; ++k) {
        const double *factor = factors + (algebra.is_shared() ? 0 : k) * size, *mean = &mixture.means[k * n_features];
        nats += prior.mean_precision * distance(prior, algebra, n_features, factor, mean);
    }
    if (prior.weight_concentration != 0) {
        Values logs = zeros(n_components);
        kernels.log(mixture.weights.data(), n_components, logs.data());
        log_weight_prior = prior.weight_concentration * sum(logs.data(), n_components);
    }
    return log_weight_prior - 0.5 * nats;
}

void gammas(const KernelTable& kernels, const double* values, Index count, double* logs, double* derivatives) {
    Values large = zeros(2 * count), result = zeros(2 * count);
    for (Index i = 0; i < count; ++i) {
        const bool is_small = values[i] < kMinSeriesArgument;
        large[i] = is_small ? values[i] + kMinSeriesArgument : values[i];
        double& product = large[count + i] = 1;
        for (double n = 0; is_small && n < kMinSeriesArgument; ++n) product *= values[i] + n;
    }
    kernels.log(large.data(), 2 * count, result.data());
    for (Index i = 0; i < count; ++i) {
        const double x = large[i], log_x = result[i];
        logs[i] = (x - 0.5) * log_x - x + 0.5 * kLog2Pi + series(kLogGammaTerms, x) * x;
        derivatives[i] = log_x - 0.5 / x - series(kDigammaTerms, x);
        if (!(values[i] < kMinSeriesArgument)) continue;  // Gamma(x) = Gamma(x + 12) / (x (x + 1) ... (x + 11))
        logs[i] -= result[count + i];
        double total = 0;
        for (double n = 0; n < kMinSeriesArgument; ++n) total += 1 / (values[i] + n);
        derivatives[i] -= total;
    }
}

Posterior::Posterior(const KernelTable& kernels, const PackedPriorView& prior, const Algebra& algebra,
                     Index n_components, Index n_features)
    : kernels_(kernels),
      prior_(prior),
      algebra_(algebra),
      n_components_(n_components),
      d_(n_features),
      n_covariances_(algebra.n_covariances(n_components)),
      mass_(zeros(n_components)),
      log_weights_(zeros(n_components)),
      dof_(zeros(n_covariances_)),
      log_dets_(zeros(n_covariances_)),
      expected_(zeros(n_covariances_)),
      normalisers_(zeros(n_covariances_)) {}

void Posterior::find_gammas(Index count) {
    logs_.resize(count);
    derivatives_.resize(count);
    gammas(kernels_, values_.data(), count, logs_.data(), derivatives_.data());
}

double Posterior::weight_expectations(const double* mass, Index n, double* expected_logs) {
    const double alpha = prior_.weight_concentration;
    double normaliser = 0;
    if (!prior_.has_stick_breaking) {
        // The posterior is a Dirichlet distribution with the parameters alpha + mass, where components without rows
        // have mass 0 (Bishop 2006, equations B.21 and B.23).
        const double total = static_cast<double>(prior_.max_components) * alpha;
        values_.assign({total + sum(mass, n), total, alpha});
        for (Index k = 0; k < n; ++k) values_.push_back(alpha + mass[k]);
        find_gammas(n + 3);
        for (Index k = 0; k < n; ++k) {
            normaliser += logs_[3 + k] - logs_[2];
            expected_logs[k] = derivatives_[3 + k] - derivatives_[0];
        }
        return normaliser + logs_[1] - logs_[0];
    }
    // Component k takes a fraction v_k of the stick that components 0..k-1 leave. The posterior of v_k is Beta(a, b),
    // where a = 1 + mass[k] and b = alpha + sum_{j > k} mass[j] (Blei & Jordan 2006, Bayesian Analysis 1).
    values_.resize(3 * n);
    double mass_after = 0;
    for (Index k = n - 1; k >= 0; --k) {
        const double a = values_[k] = 1 + mass[k], b = values_[n + k] = alpha + mass_after;
        values_[2 * n + k] = a + b;
        mass_after += mass[k];
    }
    find_gammas(3 * n);
    const double log_alpha = log_of(kernels_, alpha);
    double log_left = 0;  // expected log length of the stick that is left
    for (Index k = 0; k < n; ++k) {
        normaliser += logs_[k] + logs_[n + k] - logs_[2 * n + k] + log_alpha;
        expected_logs[k] = derivatives_[k] - derivatives_[2 * n + k] + log_left;
        log_left += derivatives_[n + k] - derivatives_[2 * n + k];
    }
    return normaliser;
}

// With nu degrees of freedom, Lambda is a Wishart matrix (Bishop 2006, equations B.79 and B.81), a diagonal matrix of
// gamma variates with the shape parameter nu / 2, or the identity times one gamma variate with the shape parameter d nu
// / 2.
void Posterior::wishart_moments(const double* dof, const double* log_dets, Index n, double* expected,
                                double* normalisers) {
    const bool is_full = algebra_.second() == Second::full;
    const Index n_each = is_full ? d_ : 1;
    const double features = static_cast<double>(d_), features_per_variance = algebra_.features_per_variance(d_);
    values_.resize(n * n_each);
    Values shapes = zeros(n), log_shapes = zeros(n);
    for (Index i = 0; i < n; ++i) {
        shapes[i] = 0.5 * features_per_variance * dof[i];
        for (Index j = 0; j < n_each; ++j) {
            values_[i * n_each + j] = is_full ? 0.5 * (dof[i] - static_cast<double>(j)) : shapes[i];
        }
    }
    find_gammas(n * n_each);
    kernels_.log(shapes.data(), n, log_shapes.data());
    const double n_logs = algebra_.second() == Second::diagonal ? features : 1, n_derivatives = is_full ? 1 : features;
    for (Index i = 0; i < n; ++i) {
        const double log_size = features * log_shapes[i];
        normalisers[i] = n_logs * sum(logs_.data() + i * n_each, n_each) - 0.5 * dof[i] * (log_size + log_dets[i]);
        expected[i] = n_derivatives * sum(derivatives_.data() + i * n_each, n_each) - log_size;
    }
}

void Posterior::set_posterior(const Mixture& mixture) {
    for (Index k = 0; k < n_components_; ++k) mass_[k] = prior_.total_weight * mixture.weights[k];
    const double all = sum(mass_.data(), n_components_);
    for (Index i = 0; i < n_covariances_; ++i) {
        dof_[i] = prior_.dof + (algebra_.is_shared() ? all : mass_[i]);
        log_dets_[i] = -2 * mixture.log_abs_det[i];
    }
    wishart_moments(dof_.data(), log_dets_.data(), n_covariances_, expected_.data(), normalisers_.data());
    weights_normaliser_ = weight_expectations(mass_.data(), n_components_, log_weights_.data());
}

void Posterior::update(const Mixture& mixture) {
    const double features = static_cast<double>(d_), *factors = mixture.factors.data();
    set_posterior(mixture);
    divergence_ = -weights_normaliser_;
    const Index size = algebra_.size(d_);
    for (Index i = 0; i < n_covariances_; ++i) {
        divergence_ += prior_.log_normaliser - normalisers_[i] +
                       0.5 * (dof_[i] - prior_.dof) * (expected_[i] - log_dets_[i]) +
                       0.5 * (trace(prior_, algebra_, d_, factors + i * size) - features * dof_[i]);
    }
    Values ratios = zeros(n_components_), log_ratios = zeros(n_components_);
    for (Index k = 0; k < n_components_; ++k) ratios[k] = prior_.mean_precision / (prior_.mean_precision + mass_[k]);
    kernels_.log(ratios.data(), n_components_, log_ratios.data());
    for (Index k = 0; k < n_components_; ++k) {
        const Index own = algebra_.is_shared() ? 0 : k;
        const double gap = distance(prior_, algebra_, d_, factors + own * size, &mixture.means[k * d_]);
        divergence_ += mass_[k] * log_weights_[k] +
                       0.5 * (features * (ratios[k] - 1 - log_ratios[k]) + prior_.mean_precision * gap);
        log_weights_[k] += 0.5 * expected_[own] - 0.5 * features / (prior_.mean_precision + mass_[k]);
    }
}

}  // namespace gaussmix
