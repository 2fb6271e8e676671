#include "update.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "axes.hpp"
#include "factorisation.hpp"
#include "kernels/poll.hpp"
#include "volume.hpp"

namespace gaussmix {

namespace {

// A component is flat along an axis if its variance is below this fraction of the variance of all components.
constexpr double kMinRelativeAxisVariance = 1e-6;

// Limits of sweeps over the shared axes of more than kExactFeatures features, in updates of given covariances. Exact
// axes would need hundreds of sweeps per update, which would take most of the time of a fit, but the next update
// continues the sweeps.
constexpr SweepLimits kSweepsPerUpdate{kMaxSweeps, 0.01};
constexpr Index kExactFeatures = 6;

struct Update {
    const KernelTable& kernels;
    const Algebra& algebra;
    const SecondSumsView& scatter;
    const double* current;
    Listener listener;
    double* out;
    const Index n_components = scatter.n_components, d = scatter.n_features;

    // Computes the shared covariance sum_k S_k / sum_k N_k from scatter matrices S_k and total weights N_k. For
    // spheres, the quotient is also divided by the number of features.
    void pool() const {
        const double divisor = sum(scatter.mass, n_components) * algebra.features_per_variance(d);
        for (Index i = 0; i < algebra.size(d); ++i) out[i] = scatter.second[i] / divisor;
    }

    // Multiplies the scatter matrix S_k of each component k by `factors[k]`.
    void scale(const Values& factors) const {
        const Index size = algebra.size(d);
        baseline::Poll poll(listener);
        for (Index k = 0; k < n_components && !poll.is_cancelled(size); ++k) {
            for (Index i = 0; i < size; ++i) out[k * size + i] = scatter.second[k * size + i] * factors[k];
        }
    }

    // Divides the scatter matrix S_k of each component by its total weight N_k and, for spheres, also by the number of
    // features.
    void divide() const {
        const Index size = algebra.size(d);
        baseline::Poll poll(listener);
        for (Index k = 0; k < n_components && !poll.is_cancelled(size); ++k) {
            const double divisor = scatter.mass[k] * algebra.features_per_variance(d);
            for (Index i = 0; i < size; ++i) out[k * size + i] = scatter.second[k * size + i] / divisor;
        }
    }

    // Returns |S_k|^(1/d) for each scatter matrix S_k, or 0 if S_k is singular.
    Values roots() const {
        Factoriser factorise(kernels, d);
        Values factor = zeros(d * d), result;
        for (Index k = 0; k < n_components; ++k) {
            double log_abs_det;
            const bool is_regular = factorise(scatter.second + k * d * d, listener, factor.data(), &log_abs_det);
            result.push_back(is_regular ? exponential(-2 / static_cast<double>(d) * log_abs_det) : 0);
        }
        return result;
    }

    // Returns the mean variance of each component over the features, as an initial value of the iteration for volumes.
    // The variances are taken from the last covariances or, in the first step, from S_k / N_k (scatter matrix divided
    // by total weight). All means are divided by the same even power of 2, which changes no digit of a result. The
    // common matrix then has the size of the variances, so it does not underflow if some features vary far less than
    // others.
    Values mean_variances() const {
        const Index size = algebra.size(d), stride = algebra.variance_stride(d);
        Values means;
        for (Index k = 0; k < n_components; ++k) {
            double total = 0;
            const double* covariance = (current == nullptr ? scatter.second : current) + k * size;
            for (Index j = 0; j < d; ++j) total += covariance[j * stride];
            means.push_back(total / (static_cast<double>(d) * (current == nullptr ? scatter.mass[k] : 1)));
        }
        const double largest = *std::max_element(means.begin(), means.end());
        const int power = largest > 0 ? std::ilogb(largest) / 2 * 2 : 0;
        for (double& mean : means) mean = std::ldexp(mean, -power);
        return means;
    }

    // Computes the common matrix (sum_k S_k / lambda_k) / sum_k N_k from volumes lambda_k, total weights N_k and
    // scatter matrices S_k, which have `size` numbers each.
    void combine(const double* scatters, Index size, const Values& volumes, double* common) const {
        std::fill(common, common + size, 0.0);
        for (Index k = 0; k < n_components; ++k) {
            const double precision = reciprocal(volumes[k]);
            for (Index i = 0; i < size; ++i) common[i] += scatters[k * size + i] * precision;
        }
        const double total = sum(scatter.mass, n_components);
        for (Index i = 0; i < size; ++i) common[i] /= total;
    }

    // Writes the products lambda_k C of the volumes lambda_k and a common matrix C.
    void expand(const double* common, Index size, const Values& volumes, double* to) const {
        for (Index k = 0; k < n_components; ++k) {
            for (Index i = 0; i < size; ++i) to[k * size + i] = volumes[k] * common[i];
        }
    }

    // Computes covariances lambda_k C with one matrix C for all components, so that only the volumes lambda_k differ.
    void pool_matrix() const {
        Factoriser factorise(kernels, d);
        Values common = zeros(d * d), factor(common), precision(common);
        const auto traces = [&](Values& volumes) {
            double log_abs_det;
            combine(scatter.second, d * d, volumes, common.data());
            if (!factorise(common.data(), listener, factor.data(), &log_abs_det)) {
                std::fill(volumes.begin(), volumes.end(), std::numeric_limits<double>::quiet_NaN());
                return;
            }
            gram(factor, precision);
            for (Index k = 0; k < n_components; ++k) {
                volumes[k] = 0;
                for (Index i = 0; i < d * d; ++i) volumes[k] += precision[i] * scatter.second[k * d * d + i];
            }
        };
        const Values volumes = converged_volumes(mean_variances(), scatter.mass, d, listener, traces);
        combine(scatter.second, d * d, volumes, common.data());
        expand(common.data(), d * d, volumes, out);
    }

    // Computes the product W'W of a lower triangular matrix W.
    void gram(const Values& factor, Values& precision) const {
        std::fill(precision.begin(), precision.end(), 0.0);
        baseline::Poll poll(listener);
        for (Index l = 0; l < d && !poll.is_cancelled((l + 1) * (l + 1)); ++l) {
            for (Index i = 0; i <= l; ++i) {
                const double element = factor[l * d + i];
                for (Index j = 0; j <= l; ++j) precision[i * d + j] += element * factor[l * d + j];
            }
        }
    }

    // Computes the variances of the components along given axes, (n_components, d), from the diagonal elements of the
    // scatter matrices along these axes, (n_components, d).
    void fit_variances(const double* spectra, double* variances) const {
        if (algebra.shape == Across::own) {
            const bool has_volumes = algebra.volume == Across::own;
            const Values factors =
                has_volumes ? Values()
                            : equal_volumes(geometric_means(kernels, spectra, n_components, d), scatter.mass);
            for (Index k = 0; k < n_components; ++k) {
                for (Index j = 0; j < d; ++j) {
                    const double variance = spectra[k * d + j];
                    variances[k * d + j] = has_volumes ? variance / scatter.mass[k] : variance * factors[k];
                }
            }
            return;
        }
        Values volumes(n_components, 1.0), common = zeros(d);
        if (algebra.volume == Across::own) {
            const auto traces = [&](Values& result) {
                combine(spectra, d, result, common.data());
                for (Index j = 0; j < d; ++j) common[j] = reciprocal(common[j]);
                for (Index k = 0; k < n_components; ++k) {
                    result[k] = 0;
                    for (Index j = 0; j < d; ++j) result[k] += spectra[k * d + j] * common[j];
                }
            };
            volumes = converged_volumes(mean_variances(), scatter.mass, d, listener, traces);
        }
        combine(spectra, d, volumes, common.data());
        expand(common.data(), d, volumes, variances);
    }

    // Computes covariances D_k diag(v_k) D_k' with variances v_k along axes D_k. Each component has separate axes, or
    // all components share the axes.
    void fit_along_axes() const {
        const SweepLimits limits = current == nullptr || d <= kExactFeatures ? kAllSweeps : kSweepsPerUpdate;
        const Spectra spectra = algebra.orientation == Across::own
                                    ? own_axes(kernels, scatters(), listener)
                                    : common_axes(kernels, scatters(), initial_axes(), limits, listener);
        compose(n_components, d, spectra.axes, variances_along(spectra), listener, out);
        if (algebra.shape == Across::own) clear_collapsed(spectra.variances);
    }

    // Sets the covariance of each component to 0 whose scatter matrix S_k is singular along an axis, so that the
    // component counts as collapsed. Rounding errors of common axes would make such a variance slightly positive. A
    // singular S_k does not matter if no common axis is close to its direction without variance, because the covariance
    // is then regular.
    void clear_collapsed(const Values& spectra) const {
        Factoriser factorise(kernels, d);
        Values pooled = zeros(d), factor = zeros(d * d);
        for (Index i = 0; i < n_components * d; ++i) pooled[i % d] += spectra[i];
        const double total = sum(scatter.mass, n_components);
        for (Index k = 0; k < n_components; ++k) {
            const auto is_flat = [&](Index j) {
                return spectra[k * d + j] * total < kMinRelativeAxisVariance * (pooled[j] * scatter.mass[k]);
            };
            bool has_flat_axis = false;
            for (Index j = 0; j < d; ++j) has_flat_axis = has_flat_axis || is_flat(j);
            double log_abs_det;
            if (has_flat_axis && !factorise(scatter.second + k * d * d, listener, factor.data(), &log_abs_det)) {
                std::fill_n(out + k * d * d, d * d, 0.0);
            }
        }
    }

    // If each component has a separate volume, the scatter matrices are weighted by the total weights of the
    // components, as in the likelihood.
    ScattersView scatters() const {
        return {n_components, d, scatter.second, algebra.volume == Across::own ? scatter.mass : nullptr};
    }

    Values variances_along(const Spectra& spectra) const {
        Values variances(spectra.variances.size());
        fit_variances(spectra.variances.data(), variances.data());
        return variances;
    }

    // Returns the axes of the last covariances or, in the first step, the axes of the sum of all scatter matrices.
    Values initial_axes() const {
        if (current != nullptr) return axes_of(kernels, n_components, d, current, listener);
        return pooled_axes(kernels, scatters(), listener);
    }
};

}  // namespace

bool is_valid(const Algebra& algebra) {
    return algebra.volume != Across::nothing &&
           (algebra.shape != Across::nothing || algebra.orientation == Across::nothing);
}

void update(const KernelTable& kernels, const Algebra& algebra, const SecondSumsView& scatter, const double* current,
            Listener listener, double* covariances) {
    const Update update{kernels, algebra, scatter, current, listener, covariances};
    if (algebra.is_shared()) return update.pool();
    if (algebra.shape == Across::nothing) return update.divide();
    if (algebra.orientation == Across::nothing) return update.fit_variances(scatter.second, covariances);
    if (algebra.shape != algebra.orientation) return update.fit_along_axes();
    if (algebra.shape == Across::equal) return update.pool_matrix();
    if (algebra.volume == Across::own) return update.divide();
    update.scale(equal_volumes(update.roots(), scatter.mass));
}

std::vector<Values> other_covariances(const KernelTable& kernels, const Algebra& algebra, const SecondSumsView& scatter,
                                      Listener listener) {
    const Index n_components = scatter.n_components, d = scatter.n_features, size = d * d;
    std::vector<Values> result;
    if (n_components == 1 || d == 1) return result;
    std::vector<Index> chosen = sorted_indices(n_components, [&](Index k) { return -scatter.mass[k]; });
    chosen.resize(std::min(n_components, kMaxAxesComponents));
    std::sort(chosen.begin(), chosen.end());
    const auto add = [&](Values axes, double factor) {
        Values covariances = zeros(n_components * size);
        const Update update{kernels, algebra, scatter, nullptr, listener, covariances.data()};
        const Spectra spectra = along_axes(update.scatters(), std::move(axes), listener);
        compose(n_components, d, spectra.axes, update.variances_along(spectra), listener, covariances.data());
        update.clear_collapsed(spectra.variances);
        for (double& each : covariances) each *= factor;
        result.push_back(std::move(covariances));
    };
    const ScattersView scatters{n_components, d, scatter.second, nullptr};
    add(pooled_axes(kernels, scatters, listener), kPooledAxesFactor);
    for (const Index k : chosen) {
        add(own_axes(kernels, {1, d, scatter.second + k * size, nullptr}, listener).axes, kOwnAxesFactor);
    }
    return result;
}

}  // namespace gaussmix
