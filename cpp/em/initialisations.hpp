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

// Compares several other initialisations and returns the best. Two of them divide the rows into groups of equal weight:
// by their distance from the overall mean, and by one feature. For small mixtures, two more initialisations are
// compared: another run of k-means, and groups of unequal weight by distance. The first of these groups is the nearest
// seven eighths of the rows, the second is the nearest seven eighths of the remaining rows, and so on. EM from each
// initialisation continues as long as its log-likelihood may still exceed `log_likelihood` and the log-likelihoods of
// the earlier initialisations. The function returns nothing if EM does not exceed `log_likelihood` from any
// initialisation.
std::optional<Mixture> best_initialisation(SearchContext& context, const SharedSample& sample, double log_likelihood);

}  // namespace gaussmix
