#include "variational_merges.hpp"

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>

namespace gaussmix {

namespace {

class MergeFinder {
public:
    MergeFinder(const KernelTable& kernels, const PackedPriorView& prior, const Algebra& algebra, Index d,
                const Mixture& mixture, Listener listener)
        : kernels_(kernels),
          prior_(prior),
          algebra_(algebra),
          d_(d),
          n_(static_cast<Index>(mixture.weights.size())),
          mixture_(mixture),
          listener_(listener),
          posterior_(kernels, prior, algebra, n_, d),
          mass_(posterior_.mass()),
          dof_(posterior_.dof()),
          normalisers_(posterior_.normalisers()) {
        posterior_.set_posterior(mixture);
    }

    std::vector<Merge> find() {
        std::vector<Merge> merges;
        for (const auto& [one, other] : nearest_pairs()) {
            if (listener_.ask(listener_.self)) return {};
            if (std::optional<Merge> merge = merged(one, other)) merges.push_back(std::move(*merge));
        }
        return best_merges(std::move(merges), n_, kMergePairs);
    }

private:
    // Returns the pairs that each component forms with its nearest components.
    std::vector<std::pair<Index, Index>> nearest_pairs() const {
        std::vector<std::pair<Index, Index>> pairs;
        const Values distances = n_ - 1 > kMergeNeighbours ? squared_distances() : zeros(n_ * n_);
        Indices others(n_);
        for (Index k = 0; k < n_; ++k) {
            std::iota(others.begin(), others.end(), Index{0});
            std::swap(others[k], others[n_ - 1]);
            const double* from_k = distances.data() + k * n_;
            const Index n_near = std::min(kMergeNeighbours, n_ - 1);
            std::partial_sort(others.begin(), others.begin() + n_near, others.end() - 1,
                              [&](Index a, Index b) { return std::pair(from_k[a], a) < std::pair(from_k[b], b); });
            for (Index i = 0; i < n_near; ++i) {
                pairs.emplace_back(std::minmax(k, others[i]));
            }
        }
        std::sort(pairs.begin(), pairs.end());
        pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
        return pairs;
    }

    // Returns the squared Mahalanobis distances of all means, (n_components, n_components), each under the covariance
    // of that component for which the distance is smaller.
    Values squared_distances() const {
        Values distances = zeros(n_ * n_);
        for (Index k = 0; k < n_ && !listener_.ask(listener_.self); ++k) {
            for (Index l = 0; l < k; ++l) {
                distances[k * n_ + l] = distances[l * n_ + k] = std::min(squared_gap(k, k, l), squared_gap(l, k, l));
            }
        }
        return distances;
    }

    // Returns the squared distance of the means of components k and l under the covariance of component `by`.
    double squared_gap(Index by, Index k, Index l) const {
        const double* factor = mixture_.factors.data() + (algebra_.is_shared() ? 0 : by * algebra_.size(d_));
        const auto gap = [&](Index j) { return mixture_.means[l * d_ + j] - mixture_.means[k * d_ + j]; };
        double total = 0;
        for (Index i = 0; i < d_; ++i) {
            const double element = whitened_element(algebra_.factor_shape(), d_, factor, i, gap);
            total += element * element;
        }
        return total;
    }

    // Merges two components. The parameters of a posterior are sums of a prior parameter and a sum over rows (Bishop
    // 2006, equations 10.60 to 10.63), so the prior is subtracted once from the sum of two posteriors. Returns nothing
    // if rounding errors make the covariance of the merged component singular.
    std::optional<Merge> merged(Index one, Index other) {
        const double beta[] = {prior_.mean_precision + mass_[one], prior_.mean_precision + mass_[other]};
        const double *first = &mixture_.means[one * d_], *second = &mixture_.means[other * d_];
        Merge merge{one, other, 0, zeros(d_), zeros(algebra_.size(d_))};
        for (Index j = 0; j < d_; ++j) {
            const double shift = beta[1] * (second[j] - first[j]) - prior_.mean_precision * (prior_.mean[j] - first[j]);
            merge.mean[j] = first[j] + shift / (beta[0] + beta[1] - prior_.mean_precision);
        }
        const double dof = algebra_.is_shared() ? dof_[0] : dof_[one] + mass_[other];
        add_scales(one, other, merge.scale);
        add_squares(beta[0], first, merge);
        add_squares(beta[1], second, merge);
        add_squares(-prior_.mean_precision, prior_.mean, merge);
        Values covariance = merge.scale, factor = covariance;
        for (double& value : covariance) value /= algebra_.features_per_variance(d_) * dof;
        double log_abs_det, expected, normaliser, logs[4];
        if (!find_whitening(kernels_, algebra_.factor_shape(), 1, d_, covariance.data(), listener_, factor.data(),
                            &log_abs_det)) {
            return std::nullopt;
        }
        // The log normaliser of a mean is -d/2 log beta.
        const double betas[] = {beta[0], beta[1], beta[0] + mass_[other], prior_.mean_precision};
        kernels_.log(betas, 4, logs);
        const double log_det = -2 * log_abs_det;
        posterior_.wishart_moments(&dof, &log_det, 1, &expected, &normaliser);
        const double before =
            algebra_.is_shared() ? normalisers_[0] : normalisers_[one] + normalisers_[other] - prior_.log_normaliser;
        merge.gain = 0.5 * static_cast<double>(d_) * (logs[0] + logs[1] - logs[2] - logs[3]) + normaliser - before +
                     gain_of_weights(one, other);
        return merge;
    }

    // Adds the scale matrices of two components, and subtracts the scale matrix of the prior, which both contain. A
    // shared scale matrix remains as it is.
    void add_scales(Index one, Index other, Values& scale) const {
        const double *first = covariance(algebra_, d_, mixture_, one),
                     *second = covariance(algebra_, d_, mixture_, other);
        for (std::size_t i = 0; i < scale.size(); ++i) {
            scale[i] = algebra_.is_shared() ? dof_[0] * first[i]
                                            : dof_[one] * first[i] + dof_[other] * second[i] - prior_.scale[i];
            scale[i] *= algebra_.features_per_variance(d_);
        }
    }

    // Adds `factor` (x - m)(x - m)' to the scale matrix, where x is a point and m is the mean of the merged component.
    void add_squares(double factor, const double* point, Merge& merge) const {
        const auto offset = [&](Index j) { return point[j] - merge.mean[j]; };
        for (Index i = 0; i < d_; ++i) {
            switch (algebra_.second()) {
                case Second::trace: merge.scale[0] += factor * (offset(i) * offset(i)); break;
                case Second::diagonal: merge.scale[i] += factor * (offset(i) * offset(i)); break;
                default:
                    for (Index j = 0; j < d_; ++j) merge.scale[i * d_ + j] += factor * (offset(i) * offset(j));
            }
        }
    }

    // Returns the change of the log normaliser of the weights. The components are sorted by mass, as after each move,
    // because stick-breaking weights depend on the order of the components.
    double gain_of_weights(Index one, Index other) {
        Values masses = mass_, expected_logs = zeros(n_);
        masses[one] += masses[other];
        masses[other] = 0;
        std::sort(masses.begin(), masses.end(), std::greater<>());
        return posterior_.weight_expectations(masses.data(), n_, expected_logs.data()) -
               posterior_.weights_normaliser();
    }

    const KernelTable& kernels_;
    const PackedPriorView& prior_;
    const Algebra algebra_;
    const Index d_, n_;
    const Mixture& mixture_;
    const Listener listener_;
    Posterior posterior_;
    const Values &mass_, &dof_, &normalisers_;
};

}  // namespace

std::vector<Merge> find_merges(const KernelTable& kernels, const PackedPriorView& prior, const Algebra& algebra,
                               Index n_features, const Mixture& mixture, Listener listener) {
    return MergeFinder(kernels, prior, algebra, n_features, mixture, listener).find();
}

std::vector<Merge> best_merges(std::vector<Merge> merges, Index n_components, Index limit) {
    // This also drops NaN, for which the comparison below would not be a valid order.
    std::erase_if(merges, [](const Merge& merge) { return !(merge.gain > 0); });
    std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) { return a.gain > b.gain; });
    std::vector<Index> n_chosen(n_components, 0);
    std::vector<Merge> chosen;
    for (Merge& merge : merges) {
        if (n_chosen[merge.one] >= limit || n_chosen[merge.other] >= limit) continue;
        ++n_chosen[merge.one], ++n_chosen[merge.other];
        chosen.push_back(std::move(merge));
    }
    return chosen;
}

MergeSums merge_sums(const KernelTable& kernels, const WeightedResponsibilities& responsibilities,
                     const std::vector<std::pair<Index, Index>>& pairs, const Indices& candidates, Listener listener) {
    MergeSums sums{zeros(static_cast<Index>(pairs.size())), zeros(static_cast<Index>(candidates.size()))};
    Values weight, values, logs;
    // All sums of a tile are computed together, because the responsibilities of its rows fit into the cache.
    for (Index first = 0; first < responsibilities.n_rows; first += kTileRows) {
        if (listener.ask(listener.self)) return sums;
        const Index last = std::min(first + kTileRows, responsibilities.n_rows);
        // Rows of weight 0 are left out, because 0 log 0 would be NaN.
        const auto each_row = [&](auto&& visit) {
            weight.clear(), values.clear();
            for (Index row = first; row < last; ++row) {
                const double* own_row = responsibilities.values + row * responsibilities.n_components;
                if (responsibilities.weight[row] > 0 && visit(own_row)) weight.push_back(responsibilities.weight[row]);
            }
            logs.resize(values.size());
            kernels.log(values.data(), static_cast<Index>(values.size()), logs.data());
        };
        for (std::size_t i = 0; i < pairs.size(); ++i) {
            each_row([&](const double* own_row) {
                const double a = own_row[pairs[i].first], b = own_row[pairs[i].second];
                if (!(a > kMinMergeResponsibility && b > kMinMergeResponsibility)) return false;
                values.insert(values.end(), {a, b, a + b});
                return true;
            });
            for (std::size_t row = 0; row < weight.size(); ++row) {
                const double *r = values.data() + 3 * row, *log_r = logs.data() + 3 * row;
                sums.entropy[i] += weight[row] * (r[2] * log_r[2] - r[0] * log_r[0] - r[1] * log_r[1]);
            }
        }
        for (std::size_t i = 0; i < candidates.size(); ++i) {
            each_row([&](const double* own_row) {
                const double own = own_row[candidates[i]];
                if (own > kMinMergeResponsibility) values.push_back(1 - own);
                return own > kMinMergeResponsibility;
            });
            for (std::size_t row = 0; row < weight.size(); ++row) sums.log_complements[i] += weight[row] * logs[row];
        }
    }
    return sums;
}

}  // namespace gaussmix
