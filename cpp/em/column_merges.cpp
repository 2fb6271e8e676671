#include "column_merges.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

namespace gaussmix {

namespace {

// Returns the merges with a positive gain, best first; each component takes part in at most `limit` merges.
std::vector<Merge> best_of(std::vector<Merge> merges, Index n_components, Index limit) {
    std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) { return a.gain > b.gain; });
    std::vector<Index> n_chosen(n_components, 0);
    std::vector<Merge> chosen;
    for (const Merge& merge : merges) {
        if (!(merge.gain > 0) || n_chosen[merge.one] >= limit || n_chosen[merge.other] >= limit) continue;
        ++n_chosen[merge.one], ++n_chosen[merge.other];
        chosen.push_back(merge);
    }
    return chosen;
}

// Returns the pairs that each component forms with its nearest components.
std::vector<std::pair<Index, Index>> candidate_pairs(const Mixture& mixture) {
    const Index n = size(mixture);
    std::vector<std::pair<Index, Index>> pairs;
    for (Index k = 0; k < n; ++k) {
        const auto distance = [&](Index l) {
            const double gap = mixture.means[l] - mixture.means[k];
            return gap * gap / std::max(mixture.covariances[k], mixture.covariances[l]);
        };
        Indices others;
        for (Index l = 0; l < n; ++l) {
            if (l != k) others.push_back(l);
        }
        std::stable_sort(others.begin(), others.end(), [&](Index a, Index b) { return distance(a) < distance(b); });
        for (std::size_t i = 0; i < std::min<std::size_t>(kMergeNeighbours, others.size()); ++i) {
            pairs.emplace_back(std::min(k, others[i]), std::max(k, others[i]));
        }
    }
    std::sort(pairs.begin(), pairs.end());
    pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
    return pairs;
}

}  // namespace

ColumnMerges::ColumnMerges(const KernelTable& kernels, const ColumnView& task, const Execution& execution,
                           const ColumnEm& em)
    : kernels_(kernels),
      task_(task),
      prior_(*task.em.prior),
      execution_(execution),
      em_(em),
      approximation_(kernels, prior_, task.em.algebra, 1, 1) {}

std::vector<Merge> ColumnMerges::best_merges(const State& state) {
    // A merge adds the responsibilities of two components under `state.model`. `state.following` comes from an M-step
    // with these responsibilities, so its parameters contain the sums over the rows that a merge adds.
    std::vector<Merge> all = promising(state.following);
    if (all.empty()) return {};
    subtract_entropy_changes(state.model, all);
    return best_of(std::move(all), size(state.model), 1);
}

// Returns pairs of components whose merge would raise the lower bound without its entropy term Σ r log r;
// `find_merges` in em/bayes/merges.py does the same.
std::vector<Merge> ColumnMerges::promising(const Mixture& after) {
    const Index n = size(after);
    Values mass = zeros(n), dof = zeros(n), log_dets = zeros(n), unused = zeros(n), of_one = zeros(n);
    for (Index k = 0; k < n; ++k) {
        mass[k] = prior_.total_weight * after.weights[k];
        dof[k] = prior_.dof + mass[k];
    }
    kernels_.log(after.covariances.data(), n, log_dets.data());
    approximation_.moments(dof.data(), log_dets.data(), n, unused.data(), of_one.data());
    const double of_weights = approximation_.weigh(mass.data(), n, unused.data());
    std::vector<Merge> result;
    for (const auto& [one, other] : candidate_pairs(after)) {
        std::optional<Merge> merge = joined(after, one, other, mass[one], mass[other]);
        if (!merge) continue;
        Values merged = mass;
        merged[one] += merged[other];
        merged[other] = 0;
        // Sorted like the components after moves, because stick-breaking weights depend on the order of the components.
        std::sort(merged.begin(), merged.end(), std::greater<>());
        const double of_merged = approximation_.weigh(merged.data(), n, unused.data());
        merge->gain = merge->gain - of_one[one] - of_one[other] + of_merged - of_weights;
        if (merge->gain > 0) result.push_back(*merge);
    }
    return best_of(std::move(result), n, kMergePairs);
}

// Merges two components. The returned gain contains only the part of the lower bound that depends on the mean and
// the covariance of the merged component. The parameters of a posterior are sums of a prior parameter and a sum over
// rows (Bishop 2006, equations 10.60 to 10.63), so the prior is subtracted once from the sum of two posteriors.
std::optional<Merge> ColumnMerges::joined(const Mixture& mixture, Index one, Index other, double mass,
                                          double other_mass) {
    const double beta[] = {prior_.mean_precision + mass, prior_.mean_precision + other_mass};
    const double dof[] = {prior_.dof + mass, prior_.dof + other_mass}, of_both = dof[0] + other_mass;
    const double first = mixture.means[one], second = mixture.means[other], prior = prior_.mean[0];
    const double precision = beta[0] + beta[1] - prior_.mean_precision;
    const double shift = beta[1] * (second - first) - prior_.mean_precision * (prior - first);
    const double mean = first + shift / precision;
    const auto squared_from_mean = [&](double x) { return (x - mean) * (x - mean); };
    const double scale = dof[0] * mixture.covariances[one] + dof[1] * mixture.covariances[other] - prior_.scale[0] +
                         beta[0] * squared_from_mean(first) + beta[1] * squared_from_mean(second) -
                         prior_.mean_precision * squared_from_mean(prior);
    const double variance = scale / of_both;
    if (!(variance > 0)) return std::nullopt;
    const double values[] = {variance, beta[0], beta[1], beta[0] + other_mass, prior_.mean_precision};
    double logs[5], expected, normaliser;
    kernels_.log(values, 5, logs);
    approximation_.moments(&of_both, logs, 1, &expected, &normaliser);
    const double gain = 0.5 * (logs[1] + logs[2] - logs[3] - logs[4]) + normaliser + prior_.log_normaliser;
    return Merge{one, other, gain, mean, scale};
}

// Subtracts, from the gain of each merge, the change of the entropy term Σ r log r; `merge_sums` in
// em/bayes/merges.py computes the same change.
void ColumnMerges::subtract_entropy_changes(const Mixture& model, std::vector<Merge>& merges) const {
    const Index n = size(model), n_rows = task_.em.rows.n_rows;
    const double* weight = task_.em.row_weight.data;
    Mixture before = model;
    if (!factorise(kernels_, task_.em.algebra, 1, execution_.interrupt.listener(), before)) return;
    const Algebra spherical{Across::own, Across::nothing, Across::nothing};
    const Values responsibilities = evaluate(kernels_, spherical, before, em_.log_scale(before), task_.em.rows,
                                             Output::responsibilities, execution_);
    if (responsibilities.empty()) return;
    Values values, logs;
    for (Merge& merge : merges) {
        Indices indices;
        values.clear();
        for (Index i = 0; i < n_rows; ++i) {
            const double a = responsibilities[i * n + merge.one], b = responsibilities[i * n + merge.other];
            if (a > kMinMergeResponsibility && b > kMinMergeResponsibility)
                indices.push_back(i), values.insert(values.end(), {a, b, a + b});
        }
        logs.resize(values.size());
        kernels_.log(values.data(), static_cast<Index>(values.size()), logs.data());
        double total = 0;
        for (std::size_t i = 0; i < indices.size(); ++i) {
            const double *r = values.data() + 3 * i, *log_r = logs.data() + 3 * i;
            total += weight[indices[i]] * (r[2] * log_r[2] - r[0] * log_r[0] - r[1] * log_r[1]);
        }
        merge.gain -= prior_.weight_unit * total;
    }
}

}  // namespace gaussmix
