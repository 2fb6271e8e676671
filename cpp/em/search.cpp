#include "search.hpp"

#include <algorithm>
#include <utility>

#include "initialisations.hpp"

namespace gaussmix {

namespace {

// Mixtures with at least this number of components are not initialised from groups of rows (`best_initialisation`),
// because split-and-merge moves reach the same maxima from any initialisation.
constexpr Index kLargeMixture = 10;
// With at most this number of components, a search tries other initialisations even if every move is predicted to
// lose much, because few moves are possible.
constexpr Index kTinyMixture = 2;

class Search {
public:
    Search(const SearchContext& context, const EmView& em)
        : context_(context),
          settings_(context.settings),
          n_rows_(em.rows.n_rows),
          n_components_(em.n_components),
          all_rows_(all_rows(context.kernels, em, context.execution)),
          first_sample_(context_.subsample(all_rows_, settings_.first_rows)),
          second_offset_(context_.draw_offset(*all_rows_, settings_.second_rows)) {}

    // Replaces `mixture`, which EM has reached in `n_steps` steps, with the best mixture of the search. Returns false,
    // and changes nothing, if no search run has a result.
    bool find(Mixture& mixture, Index n_steps) {
        const double max_work = settings_.search_steps_factor *
                                static_cast<double>(n_steps + settings_.n_extra_em_steps) *
                                all_rows_->em.work_of_step();
        context_.work_left = max_work;
        // The first run uses few rows, so that it can try many moves in a short time.
        try_run(mixture);
        // Some maxima cannot be reached by moves from the first initialisation, above all if few moves are possible.
        try_run(other_initialisation());
        if (!best_) return false;
        // If no mixture fits the rows well, many maxima have nearly the same height, and a combination of two maxima is
        // often higher than both.
        if (needs_combination(n_steps)) {
            context_.work_left = settings_.combination_work_factor * max_work;
            combine_runs();
        }
        // A maximum on a small sample need not be a maximum on more rows, and a component that has too few rows in the
        // sample may have enough rows in the table.
        if (n_rows_ >= settings_.min_rows_to_subsample) continue_with_more_rows();
        mixture = std::move(best_->mixture);
        return true;
    }

private:
    // Makes a search run on the first subsample, and keeps its result if it is the best result so far.
    void try_run(std::optional<Mixture> mixture) {
        auto run = context_.make_run(first_sample_, std::move(mixture), settings_.initial_limits, settings_.patience);
        if (run && (!best_ || run->is_better_than(*best_))) best_ = std::move(run);
    }

    // Returns an initialisation for a second run, or nothing if a second run would hardly reach a higher maximum. Large
    // tables are searched again on more rows instead, so k-means is repeated only for small tables, or if the first run
    // has failed.
    std::optional<Mixture> other_initialisation() {
        const bool is_repeated =
            !best_ || (n_rows_ < settings_.min_rows_to_subsample && !best_->is_hopeless() && !context_.is_over());
        if (n_components_ > kSmallMixture && is_repeated) return initialise_by_kmeans(context_, first_sample_);
        if (n_components_ >= kLargeMixture) return std::nullopt;
        // If all components are separate and fit their rows, EM from other initialisations would hardly help.
        const bool is_sound = best_ && best_->result.n_unsound == 0;
        if (n_components_ > kTinyMixture && is_sound && best_->is_hopeless() && fits_rows()) return std::nullopt;
        double aim = -kInfinity;
        // The log-likelihood of a run with unsound components is too high for a comparison.
        if (best_) aim = best_->result.n_unsound > 0 ? best_->initial_log_likelihood : best_->result.log_likelihood;
        return best_initialisation(context_, first_sample_, aim);
    }

    // Checks whether no split gains much more than it gains by chance, so that the mixture fits the rows.
    bool fits_rows() const {
        return best_->result.best_split * static_cast<double>(first_sample_->em.rows.n_rows) <= settings_.misfit_gain;
    }

    // Checks whether splits would still gain much, and whether the fit takes so long anyway (because EM is slow and
    // there are many rows) that several runs hardly lengthen the fit. Results with a shared covariance are not
    // combined, because combinations hardly raise the likelihood.
    bool needs_combination(Index n_steps) const {
        const Index n_first_rows = first_sample_->em.rows.n_rows;
        return !all_rows_->em.algebra.is_shared() && !best_->is_hopeless() && !fits_rows() &&
               n_steps >= settings_.min_slow_steps && settings_.n_ascents * n_first_rows <= n_rows_ &&
               !context_.is_over();
    }

    // Combines (see `combine`) the best result of several runs with the result of each other run. Each combination is
    // improved by a search run, and replaces the best result if the combination is better. The result that was best at
    // first is combined last. If this result is still the best, it is combined with itself, which only means that
    // further moves are made from it.
    void combine_runs() {
        const std::vector<SearchRun> runs = runs_on_second_sample();
        if (runs.empty()) return;
        SearchRun best = runs[0];
        for (std::size_t i = 1; i <= runs.size() && !context_.is_over(); ++i) {
            auto combined = combine(context_.kernels, first_sample_->em, context_.execution, best.mixture,
                                    runs[i % runs.size()].mixture);
            auto run = context_.make_run(second_sample(), std::move(combined), settings_.refinement_limits,
                                         settings_.patience);
            if (run && run->is_better_than(best)) best = std::move(*run);
        }
        auto last = context_.begin(second_sample(), best.mixture, settings_.refinement_limits);
        if (last) best = std::move(*last);
        context_.try_moves(best, settings_.refinement_patience);
        replace_best(std::move(best));
    }

    // Makes further search runs, each from a different initialisation and on a different small subsample. Returns EM
    // from their results and from the best result so far, on the second sample, in descending order of the
    // log-likelihoods.
    std::vector<SearchRun> runs_on_second_sample() {
        std::vector<Mixture> mixtures{best_->mixture};
        for (Index i = 1; i < settings_.n_ascents && !context_.is_over(); ++i) {
            const SharedSample sample = context_.subsample(all_rows_, settings_.first_rows);
            auto run = context_.make_run(sample, initialise_by_kmeans(context_, sample), settings_.initial_limits,
                                         settings_.patience);
            if (run) mixtures.push_back(std::move(run->mixture));
        }
        std::vector<SearchRun> runs;
        for (Mixture& mixture : mixtures) {
            auto run = context_.begin(second_sample(), std::move(mixture), settings_.refinement_limits);
            if (!run) continue;
            context_.count_unsound(*run);
            runs.push_back(std::move(*run));
        }
        const auto above = [](const SearchRun& a, const SearchRun& b) {
            if (a.result.n_unsound != b.result.n_unsound) return a.result.n_unsound < b.result.n_unsound;
            return a.result.log_likelihood > b.result.log_likelihood;
        };
        std::stable_sort(runs.begin(), runs.end(), above);
        return runs;
    }

    // Continues from the best result on the second sample, and on all rows if moves were rejected because a component
    // had too few of the sampled rows.
    void continue_with_more_rows() {
        if (!context_.is_over() && !best_->is_hopeless() && !continue_on(second_sample())) return;
        if (!context_.is_over() && best_->result.has_refused) continue_on(all_rows_);
    }

    // Makes a search run on the given rows from the best result, which the result of the run replaces. Does nothing if
    // the best result already comes from a run with the same number of rows and the same patience, or if no work is
    // left for an EM step on these rows. Returns false if EM on these rows violates `em.limits`.
    bool continue_on(const SharedSample& sample) {
        const bool is_repeated =
            sample->em.rows.n_rows == best_->sample->em.rows.n_rows && best_->patience == settings_.refinement_patience;
        const double n_steps_left = context_.work_left / sample->em.work_of_step();
        if (is_repeated || n_steps_left < 1) return true;
        Steps steps = settings_.refinement_limits;
        if (n_steps_left < static_cast<double>(steps.limit)) steps.limit = static_cast<Index>(n_steps_left);
        auto run = context_.make_run(sample, best_->mixture, steps, settings_.refinement_patience);
        if (run) replace_best(std::move(*run));
        return run.has_value();
    }

    void replace_best(SearchRun run) {
        run.result.has_refused |= best_->result.has_refused;
        best_ = std::move(run);
    }

    // The second sample is drawn only when it is needed, because many searches end earlier.
    const SharedSample& second_sample() {
        if (!second_sample_)
            second_sample_ =
                draw_subsample(context_.kernels, all_rows_, settings_.second_rows, second_offset_, context_.execution);
        return second_sample_;
    }

    SearchContext context_;
    const SearchView& settings_;
    const Index n_rows_, n_components_;
    const SharedSample all_rows_, first_sample_;
    const std::optional<double> second_offset_;  // random offset of the second sample
    SharedSample second_sample_;
    std::optional<SearchRun> best_;
};

}  // namespace

bool search(const KernelTable& kernels, const EmView& em, const SearchView& search, const double* draws, Index n_steps,
            const Execution& execution, Mixture& mixture, Values& starts, SearchReport& report) {
    report = {};
    const SearchContext context{kernels, search, execution, {draws, search.n_draws}, starts, report, 0};
    return Search(context, em).find(mixture, n_steps);
}

}  // namespace gaussmix
