#include "search_run.hpp"

#include <algorithm>
#include <utility>

namespace gaussmix {

namespace {

// No subsample is drawn if the number of rows is less than this multiple of the wanted number.
constexpr double kMinReduction = 1.3;

// Returns the weighted mean of the components' covariances, (n_features, n_features), or of the components' variances,
// (n_features,), for diagonal and spherical structures. The result is bit-identical to the result of the same
// computation with NumPy.
Values mean_covariance(const EmView& em, const Mixture& mixture) {
    const Index d = em.rows.n_features, size = em.algebra.size(d), count = std::max(size, d);
    Values mean = zeros(count), terms = zeros(em.n_components);
    for (Index i = 0; i < count; ++i) {
        for (Index k = 0; k < em.n_components; ++k) {
            terms[k] = mixture.weights[k] * covariance(em.algebra, d, mixture, k)[size == 1 ? 0 : i];
        }
        mean[i] = sum_in_pairs(terms.data(), em.n_components);
    }
    return mean;
}

}  // namespace

bool SearchRun::is_better_than(const SearchRun& other) const {
    if (result.n_unsound < other.result.n_unsound) return result.log_likelihood > other.initial_log_likelihood;
    return result.n_unsound == other.result.n_unsound && result.log_likelihood > other.result.log_likelihood;
}

std::optional<double> SearchContext::draw_offset(const RowSample& rows, Index n_wanted) {
    const Index n_rows = rows.em.rows.n_rows;
    const bool is_worthwhile = static_cast<double>(n_rows) > kMinReduction * static_cast<double>(n_wanted);
    if (n_rows < settings.min_rows_to_subsample || !is_worthwhile) return std::nullopt;
    return random.next();
}

bool SearchContext::run_to_end(const EmView& em, const Steps& steps, Mixture& mixture, Values& history) {
    if (!gaussmix::run_to_end(kernels, em, steps, execution, mixture, history)) return false;
    work_left -= static_cast<double>(history.size()) * em.work_of_step();
    return true;
}

std::optional<SearchRun> SearchContext::begin(const SharedSample& sample, Mixture mixture, const Steps& steps) {
    Values history;
    if (!run_to_end(sample->em, steps, mixture, history)) return std::nullopt;
    SearchRun run{sample, std::move(mixture), {}, history.back(), {}, 0};
    run.mean_covariance = mean_covariance(sample->em, run.mixture);
    run.result.log_likelihood = history.back();
    return run;
}

std::optional<SearchRun> SearchContext::make_run(const SharedSample& sample, std::optional<Mixture> mixture,
                                                 const Steps& steps, Index patience) {
    if (!mixture) return std::nullopt;
    std::optional<SearchRun> run = begin(sample, std::move(*mixture), steps);
    if (run) try_moves(*run, patience);
    return run;
}

void SearchContext::try_moves(SearchRun& run, Index patience) {
    run.patience = patience;
    starts.insert(starts.end(), {static_cast<double>(run.sample->em.rows.n_rows), run.result.log_likelihood});
    ascend_from(run, patience, settings.max_moves);
}

void SearchContext::ascend_from(SearchRun& run, Index patience, Index max_moves) {
    const AscentView task{
        run.sample->em, run.mean_covariance.data(), settings.acceptance, max_moves, patience, work_left, random};
    const std::optional<AscentResult> result = ascend(kernels, task, execution, run.result.log_likelihood, run.mixture);
    if (!result) return;
    work_left -= result->work;
    report.n_tried += static_cast<double>(result->n_tried);
    report.n_accepted += static_cast<double>(result->n_accepted);
    random = result->random;
    run.result = *result;
}

}  // namespace gaussmix
