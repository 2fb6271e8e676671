#include "removals.hpp"

#include <algorithm>
#include <iterator>

#include "shared_covariance.hpp"

namespace gaussmix {

Removals::Removals(const KernelTable& kernels, const Algebra& algebra, const Execution& execution,
                   const Mixture& mixture, const Responsibilities& responsibilities, const Values& row_fraction)
    : kernels_(kernels),
      algebra_(algebra),
      execution_(execution),
      mixture_(mixture),
      responsibilities_(responsibilities),
      row_fraction_(row_fraction),
      n_rows_(static_cast<Index>(row_fraction.size())),
      d_(static_cast<Index>(mixture.means.size() / mixture.weights.size())),
      n_components_(static_cast<Index>(mixture.weights.size())) {}

// Returns the weighted sum of r log r over the rows with the given indices, where r is a responsibility.
template <class Responsibility>
double Removals::negative_entropy(const Indices& indices, Responsibility&& responsibility_of) const {
    Values r(indices.size()), logs(indices.size());
    std::transform(indices.begin(), indices.end(), r.begin(), responsibility_of);
    kernels_.log(r.data(), static_cast<Index>(r.size()), logs.data());
    double total = 0;
    for (std::size_t i = 0; i < indices.size(); ++i) total += row_fraction_[indices[i]] * (r[i] * logs[i]);
    return total;
}

// A merge changes the sum over the components of sum r log(pi N(x | mu, Sigma)) - sum r log r, which is the
// log-likelihood before the merge and, by Jensen's inequality, a lower bound on the log-likelihood after the merge.
std::vector<Removal> Removals::rank() const {
    // sum r log(pi N) and sum r log r of each component
    Values expected = zeros(n_components_), negative_entropies(expected);
    for (Index row = 0; row < n_rows_; ++row) {
        const double log_density = row_fraction_[row] * responsibilities_.log_density[row];
        for (Index k = 0; k < n_components_; ++k) expected[k] += responsibility(row, k) * log_density;
    }
    for (Index k = 0; k < n_components_; ++k) {
        negative_entropies[k] =
            negative_entropy(responsibilities_.indices[k], [&](Index row) { return responsibility(row, k); });
        expected[k] += negative_entropies[k];  // r = pi N / p, where p is the density of the row
    }
    std::vector<Removal> result;
    for (Index heir = 0; heir < n_components_; ++heir) {
        for (Index k = heir + 1; k < n_components_ && !execution_.interrupt.has_come(); ++k) {
            const double gain = algebra_.is_shared() ? merge_gain_with_shared_covariance(heir, k)
                                                     : expected_after_merge(heir, k) - expected[heir] - expected[k];
            result.push_back({gain, k, heir});
        }
    }
    const auto above = [](const Removal& a, const Removal& b) { return a.gain > b.gain; };
    std::stable_sort(result.begin(), result.end(), above);
    // The change of the sum r log r takes more time and is never a gain, because x log x is superadditive. Therefore
    // this change is computed only for the best merges.
    result.resize(std::min(result.size(), static_cast<std::size_t>(2 * n_components_)));
    for (Removal& pair : result) {
        const auto both = [&](Index i) { return responsibility(i, pair.heir) + responsibility(i, pair.freed); };
        const Indices &first = responsibilities_.indices[pair.heir], &second = responsibilities_.indices[pair.freed];
        Indices indices;
        indices.reserve(first.size() + second.size());
        std::set_union(first.begin(), first.end(), second.begin(), second.end(), std::back_inserter(indices));
        pair.gain -= negative_entropy(indices, both) - negative_entropies[pair.heir] - negative_entropies[pair.freed];
    }
    // If component k is removed and all other components take over its rows, the density of a row is multiplied by
    // (1 - r_k) / (1 - pi_k). This loop computes the mean change of the log density; the limits keep logarithms finite.
    for (Index k = 0; k < n_components_; ++k) {
        const Indices& indices = responsibilities_.indices[k];
        Values rest(indices.size()), logarithms(indices.size());
        std::transform(indices.begin(), indices.end(), rest.begin(),
                       [&](Index row) { return std::max(1 - responsibility(row, k), 1e-30); });
        kernels_.log(rest.data(), static_cast<Index>(rest.size()), logarithms.data());
        double change = 0;
        for (std::size_t i = 0; i < indices.size(); ++i) change += row_fraction_[indices[i]] * logarithms[i];
        result.push_back({change - log_of(kernels_, 1 - std::min(mixture_.weights[k], 1 - 1e-9)), k, -1});
    }
    std::stable_sort(result.begin(), result.end(), above);
    // Only the best removals are returned, because a search run tries far fewer moves.
    const auto limit = static_cast<std::size_t>(std::max<Index>(16, n_components_));
    if (result.size() > limit) result.resize(limit);
    return result;
}

// Merges two components into a single component with the moments of both, and returns the sum of r log(pi N(x | mu,
// Sigma)) over all rows, in nats, where r is the responsibility of the merged component for row x. The sum of r is
// computed from the rows and not from the weights after the last EM step, because the loss of log-likelihood by a merge
// is independent of the units of the data only if all its terms use the same responsibilities.
double Removals::expected_after_merge(Index k, Index l) const {
    const double total = mixture_.weights[k] + mixture_.weights[l], fraction = mixture_.weights[k] / total;
    const double *mean = mixture_.means.data() + k * d_, *other_mean = mixture_.means.data() + l * d_;
    const auto gap = [&](Index j) { return mean[j] - other_mean[j]; };
    const auto d = static_cast<double>(d_);
    double log_det = 0;
    if (algebra_.second() == Second::full) {
        const double *one = covariance(algebra_, d_, mixture_, k), *other = covariance(algebra_, d_, mixture_, l);
        Values merged = zeros(d_ * d_), factor(merged);
        for (Index i = 0; i < d_ * d_; ++i) {
            merged[i] =
                fraction * one[i] + (1 - fraction) * other[i] + fraction * (1 - fraction) * (gap(i / d_) * gap(i % d_));
        }
        if (!Factoriser(kernels_, d_)(merged.data(), execution_.interrupt.listener(), factor.data(), &log_det))
            return -kInfinity;
        log_det *= -2;  // `Factoriser` returns log |det W|, and the determinant of the covariance is |det W|^-2
    } else {
        Values merged = zeros(d_), logarithms(merged);
        for (Index j = 0; j < d_; ++j) {
            merged[j] = fraction * variance(algebra_, d_, mixture_, k, j) +
                        (1 - fraction) * variance(algebra_, d_, mixture_, l, j) +
                        fraction * (1 - fraction) * (gap(j) * gap(j));
        }
        if (algebra_.second() == Second::trace) merged.assign(merged.size(), sum(merged.data(), d_) / d);
        kernels_.log(merged.data(), d_, logarithms.data());
        log_det = sum(logarithms.data(), d_);
    }
    return (responsibilities_.mass[k] + responsibilities_.mass[l]) *
           (log_of(kernels_, total) - 0.5 * (d * (kLog2Pi + 1) + log_det));
}

double Removals::merge_gain_with_shared_covariance(Index k, Index l) const {
    Values gap = zeros(d_);
    for (Index j = 0; j < d_; ++j) gap[j] = mixture_.means[k * d_ + j] - mixture_.means[l * d_ + j];
    return SharedCovariance(kernels_, algebra_, d_, mixture_)
        .merge_gain(gap, responsibilities_.mass[k], responsibilities_.mass[l]);
}

// Returns the component that overlaps most with component k.
Index Removals::nearest_by_overlap(Index k) const {
    const double* overlap = responsibilities_.overlap.data() + k * n_components_;
    Index result = k == 0 ? 1 : 0;
    for (Index l = 0; l < n_components_; ++l) {
        if (l != k && overlap[l] > overlap[result]) result = l;
    }
    return result;
}

Values Removals::remove(Index limit, Index& count) const {
    Values responsibilities = responsibilities_.values;
    std::vector<char> is_involved(n_components_), is_removed(is_involved);
    Index n_removed = 0;
    for (const Removal& removal : rank()) {
        const Index k = removal.freed, other = removal.heir < 0 ? nearest_by_overlap(k) : removal.heir;
        if (n_removed == limit || is_involved[k] || is_involved[other]) continue;
        is_involved[k] = is_involved[other] = is_removed[k] = 1;
        ++n_removed;
        for (Index row = 0; row < n_rows_ && removal.heir >= 0; ++row) {
            responsibilities[row * n_components_ + other] += responsibilities[row * n_components_ + k];
        }
    }
    count = n_components_ - n_removed;
    Values remaining = zeros(n_rows_ * count);
    for (Index row = 0; row < n_rows_; ++row) {
        double* own = remaining.data() + row * count;
        double total = 0;
        for (Index k = 0, to = 0; k < n_components_; ++k) {
            if (!is_removed[k]) total += own[to++] = responsibilities[row * n_components_ + k];
        }
        for (Index k = 0; k < count; ++k)
            own[k] = total > kMinResponsibility ? own[k] / total : 1 / static_cast<double>(count);
    }
    return remaining;
}

}  // namespace gaussmix
