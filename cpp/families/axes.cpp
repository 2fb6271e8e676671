#include "axes.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "buffer.hpp"
#include "kernels/poll.hpp"

namespace gaussmix {

namespace {

// The axes are clear if all consecutive variances differ by more than this fraction of the largest variance.
constexpr double kMinRelativeGap = 1e-3;

// Checks whether the variances along the axes differ so clearly that rounding errors hardly change the axes. If some
// variances are nearly equal, rotations could improve the axes.
bool has_clear_axes(const Values& spectrum) {
    for (std::size_t j = 1; j < spectrum.size(); ++j) {
        if (!(spectrum[j - 1] - spectrum[j] > kMinRelativeGap * spectrum[0])) return false;
    }
    return true;
}

}  // namespace

void principal_axes(const KernelTable& kernels, Index count, Index n_features, const double* matrices,
                    Listener listener, double* spectra, double* axes) {
    const Index size = n_features * n_features;
    const Buffer scratch = Buffer::of_doubles(principal_axes_scratch(n_features));
    for (Index k = 0; k < count && !listener.ask(listener.self); ++k) {
        kernels.principal_axes(n_features, matrices + k * size, listener, scratch.doubles(), spectra + k * n_features,
                               axes + k * size);
    }
}

void shared_axes(const KernelTable& kernels, const ScattersView& scatters, SweepLimits limits, Listener listener,
                 double* axes) {
    const Buffer scratch = Buffer::of_doubles(shared_axes_scratch(scatters.n_components, scatters.n_features));
    kernels.shared_axes(scatters, limits, listener, scratch.doubles(), axes);
}

// Finds the axes of a weighted sum of the covariances. If some variances along the axes of the sum are nearly equal,
// rotations improve the axes. The weights depend on the order of the components, but the order of the axes does not, so
// that sweeps from these axes do not depend on the order of the components either.
Values axes_of(const KernelTable& kernels, Index n_components, Index n_features, const double* covariances,
               Listener listener) {
    const Index d = n_features, size = d * d;
    Values mixed = zeros(size), sum = zeros(size), importance;
    for (Index k = 0; k < n_components; ++k) {
        importance.push_back(1 / static_cast<double>(k + 1));
        double trace = 0;
        for (Index j = 0; j < d; ++j) trace += covariances[k * size + j * (d + 1)];
        for (Index i = 0; i < size; ++i) mixed[i] += covariances[k * size + i] * (importance.back() / trace);
        for (Index i = 0; i < size; ++i) sum[i] += covariances[k * size + i];
    }
    Spectra result = own_axes(kernels, {1, d, mixed.data(), nullptr}, listener);
    if (!has_clear_axes(result.variances)) {
        const ScattersView scatters{n_components, d, covariances, importance.data()};
        shared_axes(kernels, scatters, kAllSweeps, listener, result.axes.data());
    }
    const Spectra spectra = along_axes({1, d, sum.data(), nullptr}, std::move(result.axes), listener);
    const std::vector<Index> order = sorted_indices(d, [&](Index j) { return -spectra.variances[j]; });
    Values axes;
    for (Index i = 0; i < size; ++i) axes.push_back(spectra.axes[i / d * d + order[i % d]]);
    return axes;
}

Values pooled_axes(const KernelTable& kernels, const ScattersView& scatters, Listener listener) {
    const Index size = scatters.n_features * scatters.n_features;
    Values pooled = zeros(size);
    for (Index i = 0; i < scatters.n_components * size; ++i) pooled[i % size] += scatters.data[i];
    return own_axes(kernels, {1, scatters.n_features, pooled.data(), nullptr}, listener).axes;
}

Spectra own_axes(const KernelTable& kernels, const ScattersView& scatters, Listener listener) {
    const Index n_components = scatters.n_components, d = scatters.n_features;
    Spectra spectra{zeros(n_components * d), zeros(n_components * d * d)};
    principal_axes(kernels, n_components, d, scatters.data, listener, spectra.variances.data(), spectra.axes.data());
    return spectra;
}

Spectra common_axes(const KernelTable& kernels, const ScattersView& scatters, Values axes, SweepLimits limits,
                    Listener listener) {
    shared_axes(kernels, scatters, limits, listener, axes.data());
    return along_axes(scatters, std::move(axes), listener);
}

Spectra along_axes(const ScattersView& scatters, Values axes, Listener listener) {
    const Index n_components = scatters.n_components, d = scatters.n_features;
    Spectra spectra{zeros(n_components * d), std::move(axes)};
    const Index size = d * d;
    baseline::Poll poll(listener);
    for (Index k = 0; k < n_components; ++k) {
        const double* scatter = scatters.data + k * size;
        for (Index j = 0; j < d && !poll.is_cancelled(size); ++j) {
            double variance = 0;
            for (Index i = 0; i < d; ++i) {
                double product = 0;
                for (Index l = 0; l < d; ++l) product += scatter[i * d + l] * spectra.axes[l * d + j];
                variance += spectra.axes[i * d + j] * product;
            }
            spectra.variances[k * d + j] = std::max(variance, 0.0);
        }
    }
    return spectra;
}

void compose(Index n_components, Index n_features, const Values& axes, const Values& variances, Listener listener,
             double* covariances) {
    const Index d = n_features, size = d * d;
    const bool is_shared = static_cast<Index>(axes.size()) == size;
    Values roots = zeros(size);
    baseline::Poll poll(listener);
    for (Index k = 0; k < n_components; ++k) {
        const double* own = axes.data() + (is_shared ? 0 : k * size);
        double* covariance = covariances + k * size;
        for (Index i = 0; i < size; ++i) roots[i] = own[i] * std::sqrt(variances[k * d + i % d]);
        for (Index i = 0; i < d && !poll.is_cancelled((i + 1) * d); ++i) {
            for (Index j = 0; j <= i; ++j) {
                double product = 0;
                for (Index l = 0; l < d; ++l) product += roots[i * d + l] * roots[j * d + l];
                covariance[i * d + j] = covariance[j * d + i] = product;
            }
        }
    }
}

}  // namespace gaussmix
