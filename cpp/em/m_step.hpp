// The M-step of EM: computes a mixture from moments of the rows.
#pragma once
#include "em_view.hpp"

namespace gaussmix {

struct Moments {  // sums over all rows, weighted by responsibilities, and the other results of an E-step
    Moments(const EmView& task, bool with_total);

    // If `uses_total` is true, `first` is about the mean of all rows, and the second moments are `EmView::total`.
    // Otherwise, each component has a reference point (anchor), and `second` has second moments for each component.
    bool uses_total;
    Values mass, first, second;
    double noise = 0;  // total responsibility of the noise component
    double log_likelihood = 0, n_distant = 0, n_active = 0;

    // Sets `uses_total`, and allocates memory for the second moments.
    void allocate(const EmView& task, bool with_total);
    MomentsView view() {
        return {&log_likelihood, &n_distant, &n_active, mass.data(), first.data(), second.data(), &noise};
    }
};

class MStep {
public:
    MStep(const KernelTable& kernels, const EmView& task, Listener listener);

    // Computes weights, means and covariances (Bishop 2006, equations 9.22, 9.17 and 9.19). The operations have the
    // same order as in `maximise` (em/step/maximise.py). `anchor` has the reference points of the moments;
    // `covariances` are the covariances of the last EM step, or null. Overwrites the moments. Returns false if a weight
    // violates `Limits`.
    bool maximise(Moments& moments, const double* anchor, const double* covariances, Mixture& following);

    // Makes the same M-step as `maximise` for components that share one full covariance, but from the second moments of
    // each component about a point near its new mean, `anchor`, instead of `EmView::total`. The operations have the
    // same order as in `initial_models` (em/step/maximise.py).
    bool maximise_pooled(Moments& moments, const double* anchor, Mixture& following);

private:
    void move_to_mean(Index k, const double* anchor, Moments& moments, Mixture& following, double* second) const;
    void apply_prior(Index k, double mass, double* mean, double* second);
    void pool(Values& second) const;
    void add_squares(const double* vector, double factor, double* second) const;
    void add_ridge(double mass, double* second) const;

    const KernelTable& kernels_;
    const EmView& task_;
    const Algebra algebra_;
    const Listener listener_;
    const Index n_components_, d_;
    Values offset_, degrees_;
};

}  // namespace gaussmix
