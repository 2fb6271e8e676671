#include "limits.hpp"

#include <cmath>

#include "kernels/poll.hpp"

namespace gaussmix {

LimitChecks::LimitChecks(const EmView& task, Listener listener)
    : task_(task),
      algebra_(task.algebra),
      listener_(listener),
      n_components_(task.n_components),
      d_(task.rows.n_features),
      offsets_(zeros(n_components_ * d_)) {}

bool LimitChecks::is_accurate(const Mixture& mixture, const double* anchor) {
    const bool is_small = is_cancellation_small(mixture, anchor);
    is_known_accurate_ = is_small && anchor == nullptr;
    return is_small;
}

bool LimitChecks::has_rounding_variance(const Mixture& mixture) const {
    for (Index j = 0; j < d_; ++j) {
        if (task_.ridge[j] != 0) continue;
        double shared = 0;
        for (Index k = 0; k < n_components_; ++k) {
            const double deviation = task_.limits.mean_rounding * mixture.means[k * d_ + j],
                         limit = deviation * deviation;
            shared += mixture.weights[k] * limit;
            if (!algebra_.is_shared() && variance(algebra_, d_, mixture, k, j) <= limit) return true;
        }
        if (algebra_.is_shared() && variance(algebra_, d_, mixture, 0, j) <= shared) return true;
    }
    return false;
}

// Writes W_k (mean_k - anchor_k) for each component k to `offsets_`, where W_k is a whitening factor and anchor_k is a
// reference point. If `anchor` is null, the mean of all rows is the reference point.
void LimitChecks::whiten_offsets(const Mixture& mixture, const double* anchor) {
    for (Index k = 0; k < n_components_; ++k) {
        const double* factor = mixture.factors.data() + (algebra_.is_shared() ? 0 : k * algebra_.size(d_));
        const auto offset = [&](Index j) {
            return mixture.means[k * d_ + j] - (anchor == nullptr ? task_.total.centre[j] : anchor[k * d_ + j]);
        };
        for (Index i = 0; i < d_; ++i) {
            offsets_[k * d_ + i] = whitened_element(algebra_.factor_shape(), d_, factor, i, offset);
        }
    }
}

// Returns the scalar product of the whitened offsets of components k and l.
double LimitChecks::offset_product(Index k, Index l) const {
    double total = 0;
    for (Index j = 0; j < d_; ++j) total += offsets_[k * d_ + j] * offsets_[l * d_ + j];
    return total;
}

// Checks that the ratios of second moments about the anchors (reference points) to second moments about the means are
// within the limit; `anchor_cancellation` in em/step/maximise.py explains these ratios.
bool LimitChecks::is_cancellation_small(const Mixture& mixture, const double* anchor) {
    whiten_offsets(mixture, anchor);
    baseline::Poll poll(listener_);
    for (Index k = 0; k < n_components_ && !poll.is_cancelled(n_components_ * d_); ++k) {
        double total = algebra_.is_shared() ? 0 : offset_product(k, k);
        for (Index l = 0; l < n_components_ && algebra_.is_shared(); ++l) {
            total += std::fabs(offset_product(k, l)) * std::sqrt(mixture.weights[k] * mixture.weights[l]);
        }
        if (!(total <= task_.limits.max_cancellation)) return false;  // also if the ratio is NaN
    }
    return true;
}

bool LimitChecks::can_use_common_centre(const Mixture& mixture) {
    whiten_offsets(mixture, nullptr);
    const double squared = task_.limits.max_mean_distance * task_.limits.max_mean_distance;
    for (Index k = 0; k < n_components_; ++k) {
        if (!(offset_product(k, k) <= squared)) return false;
    }
    return is_known_accurate_ || is_cancellation_small(mixture, nullptr);
}

}  // namespace gaussmix
