// Runs EM on a small table without returning to Python, for the covariance structures that `Algebra` describes. The EM
// steps are the same as in em/step/loop.py.
#pragma once
#include "em_view.hpp"
#include "mixture.hpp"

namespace gaussmix {

struct Steps {  // tolerance and maximum number of steps of an EM run
    double tolerance;
    Index limit;
};

// Computes the mean of all rows, and the sums of second moments about this mean (`scatter`), which are not divided by
// the weight. Returns false if the rows have no weight, or if interrupted.
bool find_scatter(const KernelTable& kernels, const EmView& task, const Execution& execution, double* mean,
                  double* scatter);

struct TotalMoments {  // memory of `EmView::total`
    Values centre, second;
};

// Computes `em.total`, if EM uses it and if the caller has not set it. Returns false if the rows have no weight, or if
// interrupted.
bool find_total(const KernelTable& kernels, EmView& em, const Execution& execution, TotalMoments& memory);

// Performs an M-step and writes the resulting mixture. The caller passes responsibilities or labels in `assignment`. If
// `assignment` is empty, each row belongs to the nearest of the centres in `mixture.means`. If responsibilities are
// given, an iterative covariance update begins at `mixture.covariances`. Returns false if the M-step would violate
// `task.limits`, or if interrupted.
bool begin_em(const KernelTable& kernels, const EmView& task, const Execution& execution,
              const AssignmentView& assignment, MixtureView mixture);

// Runs EM, and appends the mean log-likelihood before each step to `log_likelihoods`. EM stops when the objective has
// converged, when `max_steps` or `seconds` is reached, or before a step that would violate `task.limits`. EM ends
// without a step only if an initial covariance is singular or the first step would violate `task.limits`. With a prior,
// `objectives` receives the mean objective before each step; without a prior, `objectives` stays empty. Returns false
// if interrupted.
bool run_em(const KernelTable& kernels, const EmView& task, const Execution& execution, MixtureView mixture,
            Values& log_likelihoods, Values* objectives = nullptr);

// Checks whether the last step of a run changed the log-likelihood by less than the tolerance.
bool has_converged(const Values& log_likelihoods, double tolerance);

// Runs EM until it converges or reaches `steps.limit`; `history` receives the log-likelihood before each step. Returns
// false if a step violates `em.limits`, or if interrupted.
bool run_to_end(const KernelTable& kernels, EmView em, const Steps& steps, const Execution& execution, Mixture& mixture,
                Values& history);

}  // namespace gaussmix
