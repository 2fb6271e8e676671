// The E-step of EM: sums the moments of rows, weighted by responsibilities.
#pragma once
#include <optional>

#include "incomplete.hpp"
#include "m_step.hpp"

namespace gaussmix {

class EStep {
public:
    EStep(const KernelTable& kernels, const EmView& task, const Execution& execution);

    // Sums moments about the reference points `anchor`, (n_components, n_features), or about the mean of all rows if
    // `moments.uses_total` is true. Returns false if interrupted.
    bool expect(const Mixture& mixture, const double* anchor, Moments& moments);

    // Returns the term that the prior adds to the log-likelihood in the objective, in nats. `mixture` must be the
    // mixture of the last call of `expect`.
    double added_by_prior(const Mixture& mixture) const;

    // Row weights as the kernels read them. `data` is null if all weights are 1, because without weights, the kernels
    // compute only one logarithm for many rows.
    const RowWeightView& row_weight() const { return row_weight_; }

private:
    bool expect_incomplete(const Mixture& mixture, const MomentsView& out);
    const double* triangular_factors(const Mixture& mixture);

    const KernelTable& kernels_;
    const EmView& task_;
    const Algebra algebra_;
    const Execution execution_;
    const Index n_components_, d_;
    const RowWeightView row_weight_;
    Values log_scale_, origin_means_, factors_, second_by_feature_;
    Patterns patterns_;                   // patterns of missing values, which the first pass finds
    std::optional<Posterior> posterior_;  // posterior of variational Bayes
};

}  // namespace gaussmix
