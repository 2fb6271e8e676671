// A mixture during EM: arrays of its parameters, and the whitening factors of its covariances.
#pragma once
#include <limits>

#include "families/algebra.hpp"
#include "families/factorisation.hpp"
#include "spans.hpp"
#include "values.hpp"

namespace gaussmix {

using Indices = std::vector<Index>;  // indices of rows or components

constexpr double kInfinity = std::numeric_limits<double>::infinity();

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
    Mixture(const Algebra& algebra, Index n_components, Index n_features, bool has_noise = false)
        : weights(zeros(n_components + has_noise)),
          means(zeros(n_components * n_features)),
          covariances(zeros(algebra.n_covariances(n_components) * algebra.size(n_features))),
          factors(zeros(static_cast<Index>(covariances.size()))),
          log_abs_det(zeros(algebra.n_covariances(n_components))) {}

    MixtureView view() {
        return {weights.data(), means.data(), covariances.data(), factors.data(), log_abs_det.data()};
    }
    // Copies the parameters; the whitening factors must then be computed by `factorise`.
    void read(const double* from_weights, const double* from_means, const double* from_covariances);
    void write(const MixtureView& to) const;  // copies the parameters and the whitening factors
};

// Returns a mixture of the components with the given indices, whose weights stay the same. `mixture` must have neither
// a shared covariance nor a noise component.
Mixture select_components(const Mixture& mixture, const Indices& indices);

// Returns the covariance of component k in compact form, which may be a covariance of all components.
inline const double* covariance(const Algebra& algebra, Index d, const Mixture& mixture, Index k) {
    return mixture.covariances.data() + (algebra.is_shared() ? 0 : k * algebra.size(d));
}

// Returns the variance of feature j in component k.
inline double variance(const Algebra& algebra, Index d, const Mixture& mixture, Index k, Index j) {
    return covariance(algebra, d, mixture, k)[j * algebra.variance_stride(d)];
}

// Returns whitening factors, one for each component. If components share a factor, it is repeated in `memory`.
const double* all_factors(const Algebra& algebra, const Mixture& mixture, Index n_components, Values& memory);

// Computes the results for single rows that `output` selects, for example responsibilities. `log_scale`,
// (n_components,), has the constant terms of the log densities. The result is empty if interrupted.
Values evaluate(const KernelTable& kernels, const Algebra& algebra, const Mixture& mixture, const Values& log_scale,
                const RowsView& rows, Output output, const Execution& execution);

// Adds the log of the density of each component at its mean to `log_scale`, (n_components,). The whitening factors of
// `mixture` must be known.
void add_peaks(const Algebra& algebra, Index d, const Mixture& mixture, Index n_components, double* log_scale);

// Computes the whitening factors of the covariances. Returns false if a covariance is singular.
bool factorise(const KernelTable& kernels, const Algebra& algebra, Index d, Listener listener, Mixture& mixture);

}  // namespace gaussmix
