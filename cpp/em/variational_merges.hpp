// Merges of two components in variational Bayes, and their effect on the lower bound on the log evidence; see Hughes &
// Sudderth (2013), NIPS 26. Right after an M-step, the lower bound is a sum of log normalisers and of the entropy term
// -sum r log r over all responsibilities r. The posterior is a sum of the prior and of sums over rows, so the
// normalisers of a merged component follow from the normalisers of the two components without a pass over the rows. The
// change of the entropy term needs such a pass.
#pragma once
#include <utility>
#include <vector>

#include "variational.hpp"

namespace gaussmix {

constexpr Index kMergeNeighbours = 6;              // number of nearest components with which merges are considered
constexpr Index kMergePairs = 2;                   // maximum number of merges per component that `find_merges` returns
constexpr double kMinMergeResponsibility = 1e-10;  // sums of r log r omit rows with a responsibility r below this limit

struct Merge {
    Index one, other;    // component `other` becomes part of component `one`
    double gain;         // rise of the lower bound in nats, or an upper bound on this rise
    Values mean, scale;  // mean (n_features,) and scale matrix S of the merged component, in compact form
};

// Responsibilities of all components for the rows, (n_rows, n_components), and the weights of the rows, (n_rows,).
struct WeightedResponsibilities {
    Index n_rows, n_components;
    const double *values, *weight;
};

// Returns merges that raise the lower bound if the change of the entropy term is ignored, best first. Because a merge
// lowers the entropy term, the gain of each merge is an upper bound on the rise of the lower bound. `mixture` must come
// from an EM step, so that its whitening factors are known.
std::vector<Merge> find_merges(const KernelTable& kernels, const PackedPriorView& prior, const Algebra& algebra,
                               Index n_features, const Mixture& mixture, Listener listener);

// Returns the merges with a positive gain, best first; each component takes part in at most `limit` merges.
std::vector<Merge> best_merges(std::vector<Merge> merges, Index n_components, Index limit);

// Sums over the rows, with the weights of the rows, from which the gains of merges and deletions are computed.
struct MergeSums {
    Values entropy;  // for each pair with the responsibilities r and r': (r + r') log (r + r') - r log r - r' log r'
    Values log_complements;  // for each candidate for deletion with the responsibilities r: log (1 - r)
};

MergeSums merge_sums(const KernelTable& kernels, const WeightedResponsibilities& responsibilities,
                     const std::vector<std::pair<Index, Index>>& pairs, const Indices& candidates, Listener listener);

}  // namespace gaussmix
