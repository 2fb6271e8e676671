// Default fits of small tables: the start, the ridge and EM of each, without coming back to Python.
#pragma once
#include <cstdint>

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
    Algebra algebra;  // not a full covariance that all components share
    Index n_components, n_candidates;
    const double* uniform;        // for `spread_centres`, the same in each group
    Index max_passes;             // of k-means
    double settled;               // it ends when centres move by less: this part of the mean variance
    const double* ridge;          // (n_features,), data units^2; null: the automatic one of each group
    double ridge_share, trimmed;  // of the automatic ridge: em/ridge.py
    double smallest_spread;       // a column that varies by less is unusual
    Limits limits;
    double tolerance;
    Index max_steps;
};

struct TableView {
    RowsView rows;
    RowWeightView row_weight;   // below 1, or null
    double total_weight, unit;  // what the weights were divided by
};

// Begins a fit and makes steps of EM as `run_em` does, none after so many seconds. Appends their log-likelihoods, and
// writes the ridge, (n_features,). Finds none where the table is unusual. False if interrupted.
bool fit_one(const KernelTable& kernels, const TableView& table, const RecipeView& recipe, double seconds,
             const Execution& execution, MixtureView mixture, double* ridge, Numbers& log_likelihoods, bool& is_found);

struct FitsView {  // of all groups, one after the other
    double *weights, *means, *covariances;
    double* log_likelihood;  // (n_groups,), mean before the last step
    std::int64_t* n_steps;   // (n_groups,); 0 where the group is unusual: nothing else is written then
    bool* has_settled;       // (n_groups,)
};

// A table is unusual where its numbers can't be used or have fewer distinct rows than components, a column is constant,
// a centre loses its rows, or the first M-step would pass a limit. Of many, also where a later step would. False if
// interrupted.
bool fit_many(const KernelTable& kernels, const GroupsView& groups, const RecipeView& recipe,
              const Execution& execution, const FitsView& out);

}  // namespace gaussmix
