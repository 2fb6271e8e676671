// A race of runs of EM: `highest` of em/best_of.py without coming back to Python between its rounds.
#pragma once
#include "run_em.hpp"

namespace gaussmix {

struct RaceView {
    double tolerance;               // nats per unit of row weight, of each run
    Index first_steps, most_steps;  // runs are compared after the first steps, twice as many, and so on
    double hope;                    // a run may still gain so many times its gain in the second half of its steps
    double same;                    // nats: runs whose components differ by less on average lead to one maximum
    double rounding;                // log-likelihoods that differ by less are equal
    OtherAxes other;                // with which runs begin
};

// Makes steps of runs from some mixtures, each with covariances of its own, and drops runs that cannot become the best.
// Writes the mixture that the run reached which is left, or at which it began where all have lost a component; the number
// of threads changes no bit. False where a step is unusual, and if interrupted.
bool race(const KernelTable& kernels, const EmView& task, const RaceView& rules, const Execution& execution,
          std::vector<Mixture> beginnings, MixtureView best);

}  // namespace gaussmix
