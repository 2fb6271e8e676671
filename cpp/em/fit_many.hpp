// Default fits of small tables: the start, the ridge and EM of each, without coming back to Python.
#pragma once
#include <cstdint>
#include <vector>

#include "run_em.hpp"

namespace gaussmix {

struct GroupsView {
    RowsView rows;             // of all groups
    RowWeightView row_weight;  // below 1, or null
    Index n_groups;
    const std::int64_t* first;  // (n_groups,), where the rows of each begin
    const std::int64_t* n_rows;
    const double* total_weight;
    const double* unit;  // what the weights of each group were divided by
};

struct RecipeView {
    Algebra algebra;
    Index n_components;
    const double* centres;  // (n_components, n_features), the same in each group; null: k-means finds them
    Index n_starts;         // k-means begins so often, and the highest run is kept
    Index n_candidates;
    const double* uniform;        // for `spread_centres`: (n_starts, ...), the same in each group
    Index max_passes;             // of k-means
    double settled;               // it ends when centres move by less: this part of the mean variance
    const double* ridge;          // (n_features,), data units^2; null: the automatic one of each group
    double ridge_share, trimmed;  // of the automatic ridge: em/ridge.py
    double smallest_spread;       // a column that varies by less is unusual
    Limits limits;
    double tolerance;
    Index max_steps;
    double seconds;  // a group makes no further step after so long
};

struct FitsView {  // of all groups, one after the other
    double *weights, *means, *covariances;
    double *factors, *log_abs_det;  // of the covariances
    double* ridge;                  // (n_groups, n_features)
    std::int64_t* n_steps;          // (n_groups,); -1 where the group is unusual: the others hold no numbers of it then
    bool* has_settled;              // (n_groups,)
    std::vector<Numbers>& log_likelihood;  // means before each step, of each group
};

// Begins a fit of each group and makes steps of EM as `run_em` does. A group is unusual where its numbers can't be used or
// have fewer distinct rows than components, a column is constant, a centre loses its rows, or the first M-step would pass a
// limit; with several starts also where a run ends before EM does. With centres and a ridge given, only a lost centre
// and the first M-step count. False if interrupted.
bool fit_many(const KernelTable& kernels, const GroupsView& groups, const RecipeView& recipe,
              const Execution& execution, const FitsView& out);

}  // namespace gaussmix
