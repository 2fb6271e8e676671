// Checks whether EM steps stay within `Limits`, so that they are accurate to rounding.
#pragma once
#include "em_view.hpp"

namespace gaussmix {

class LimitChecks {
public:
    LimitChecks(const EmView& task, Listener listener);

    // Checks the result of an M-step, whose whitening factors are known. `anchor` has the reference points of its
    // moments, and is null if the moments are about the mean of all rows.
    bool is_accurate(const Mixture& mixture, const double* anchor);

    // Checks whether some feature without a ridge varies so little that the variance may be only the rounding error of
    // a mean.
    bool has_rounding_variance(const Mixture& mixture) const;

    // Checks whether it is accurate enough to whiten each row once for all components and to sum moments about the mean
    // of all rows. `mixture` must be the result of the last EM step.
    bool can_use_common_centre(const Mixture& mixture);

private:
    bool is_cancellation_small(const Mixture& mixture, const double* anchor);
    void whiten_offsets(const Mixture& mixture, const double* anchor);
    double offset_product(Index k, Index l) const;

    const EmView& task_;
    const Algebra algebra_;
    const Listener listener_;
    const Index n_components_, d_;
    Values offsets_;
    bool is_known_accurate_ = false;  // whether the last step was accurate with moments about the mean of all rows
};

}  // namespace gaussmix
