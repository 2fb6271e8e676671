// EM on a small table without coming back to Python: steps as those of em/loop.py, one after another.
#pragma once
#include "spans.hpp"
#include "structures/algebra.hpp"
#include "structures/volume.hpp"

namespace gaussmix {

struct TotalView {         // of all rows as one component, for a full covariance that all components share
    const double* centre;  // (n_features,), their mean
    const double* second;  // (n_features, n_features), about it
};

struct Limits {         // beyond them a step is not made: em/maximise.py and engines/arguments.py know what to do then
    double lost_share;  // of the row weight, that a component keeps at least
    double noise;       // of a mean: a standard deviation is larger
    double loss;        // of moments that are moved to the new means
    double distance;    // of means from the centre, in standard deviations
};

struct RunView {
    RowsView rows;
    RowWeightView row_weight;
    double total_weight;
    Algebra algebra;
    Index n_components;
    TotalView total;      // null unless the algebra shares a full covariance
    const double* ridge;  // (n_features,), data units^2
    Limits limits;
    double tolerance, previous;  // nats per unit of row weight; the mean log-likelihood of the step before
    Index max_steps;
    double seconds;  // after which it comes back
};

struct MixtureView {      // where it starts, and ends
    double* weights;      // (n_components,)
    double* means;        // (n_components, n_features)
    double* covariances;  // in compact form
};

// Writes the mean log-likelihoods before each step it made. Fewer steps than asked for where it has settled, where time
// is up, or where the next one would leave the limits; none only in the last case. False if interrupted.
bool run(const KernelTable& kernels, const RunView& task, const Execution& execution, MixtureView mixture,
         Numbers& log_likelihoods);

}  // namespace gaussmix
