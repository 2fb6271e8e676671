// EM for a mixture of one feature by variational Bayes, with an extrapolation after every two EM steps (Varadhan &
// Roland 2008, Scandinavian Journal of Statistics 35, scheme S3).
#pragma once
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "columns.hpp"

namespace gaussmix {

struct State {  // a mixture, the same mixture after one more EM step, and the lower bound before this step, in nats
    Mixture model, following;
    double bound;
};

inline Index size(const Mixture& mixture) { return static_cast<Index>(mixture.weights.size()); }

// Returns the components in descending order of their weights.
Indices by_weight(const Mixture& mixture, const std::vector<bool>& is_left_out = {});

class ColumnEm {
public:
    ColumnEm(const KernelTable& kernels, const ColumnView& task, const Execution& execution);

    bool is_over() const { return execution_.interrupt.has_come() || Clock::now() >= end_; }

    // Computes the lower bound of a mixture. Returns nothing if the EM step violates `Limits`.
    std::optional<State> judge(const Mixture& mixture) const;

    // Runs EM steps after births.
    std::optional<State> after_steps(Mixture mixture) const;

    // Runs EM with extrapolations until it converges. Returns false if a step violates `Limits`.
    bool converge(State& state, double tolerance) const;

    // Counts empty components. If a component becomes empty, EM stops, because deleting the component may raise the
    // lower bound.
    Index count_empty(const Mixture& mixture) const;

    // Returns the log density of each component at its mean, up to a common constant, with the expected log weights of
    // variational Bayes. `mixture` must come from an EM step, so that its whitening factors are known.
    Values log_scale(const Mixture& mixture) const;

private:
    using Clock = std::chrono::steady_clock;

    Values run(Mixture& mixture, Index n_steps, double tolerance) const;
    std::optional<double> step(Mixture& mixture) const;
    std::pair<Mixture, bool> extrapolated(const Mixture& start, const Mixture& first, const Mixture& second,
                                          double max_length) const;
    Values coordinates(const Mixture& mixture) const;

    const KernelTable& kernels_;
    const ColumnView& task_;
    const PackedPriorView& prior_;
    const Execution execution_;
    const std::chrono::time_point<Clock, std::chrono::duration<double>> end_;
};

}  // namespace gaussmix
