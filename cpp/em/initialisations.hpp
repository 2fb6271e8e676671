// Initialisations of a split-and-merge search, in addition to the mixture that the search improves.
#pragma once
#include "search_run.hpp"

namespace gaussmix {

// Mixtures with at most this number of components have few split-and-merge moves, so the search tries more
// initialisations.
constexpr Index kSmallMixture = 3;

// Runs k-means on a subsample of `sample`, and performs an M-step on all rows of `sample`. Returns nothing if a centre
// or a component has too few rows.
std::optional<Mixture> initialise_by_kmeans(SearchContext& context, const SharedSample& sample);

// Returns the best of several other initialisations: groups of rows at similar distances from the overall mean, and
// groups of rows along one feature. Small mixtures have two more initialisations: groups by distance, each of which
// leaves the most distant eighth of the remaining rows to later groups, and another run of k-means. EM from each
// initialisation continues as long as its log-likelihood may still exceed `log_likelihood` and the log-likelihoods of
// the earlier initialisations. Returns nothing if EM exceeds `log_likelihood` from none of them.
std::optional<Mixture> best_initialisation(SearchContext& context, const SharedSample& sample, double log_likelihood);

}  // namespace gaussmix
