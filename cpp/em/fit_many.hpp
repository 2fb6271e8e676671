// Fits mixtures to many small tables. The initialisation, the ridge and the EM steps of each table are computed without
// returning to Python.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "search.hpp"

namespace gaussmix {

struct GroupsView {
    RowsView rows;  // rows of all groups (tables)
    // row weights, divided by the `weight_unit` of their group, which makes them less than 1; if `data` is null, every
    // weight is 1
    RowWeightView row_weight;
    Index n_groups;
    const std::int64_t* first;  // (n_groups,), index of each group's first row
    // index of each group's first row weight, which may differ from `first` because groups may share rows but not
    // weights
    const std::int64_t* first_weight;
    const std::int64_t* n_rows;
    const double* total_weight;  // (n_groups,)
    const double* weight_unit;   // (n_groups,), number by which the weights of each group were divided
    bool is_incomplete = false;
    ErrorView error = {};  // measurement errors of all rows
};

struct FitSettingsView {
    Algebra algebra;
    Index n_components;
    // initial centres of every group, (n_components, n_features), or null if k-means finds the centres
    const double* centres;
    // scale by which each feature is divided in distances from `centres`, (n_features,); if null, every scale is 1
    const double* unit;
    // Initial component of each row, which may be given only if there is a single group. If `labels` is null, each row
    // belongs to its nearest centre.
    AssignmentView assignment;
    Index n_starts = 1;  // number of initialisations by k-means; the fit with the highest log-likelihood is kept
    // random numbers for `seed_centres`, one row for each initialisation; all groups use the same random numbers
    const double* uniform_draws;
    KMeansView kmeans;
    bool is_scaled;  // whether k-means divides each column by its scale
    // ridge, (n_features,), in squared units of the data; if null, the ridge of each group is chosen automatically
    const double* ridge;
    double ridge_fraction, ridge_trim_fraction;  // settings of the automatic ridge (see em/initialisation/sample.py)
    double min_column_spread;                    // Python must fit a table if the range of a column is less than this
    Limits limits;
    double tolerance;
    Index max_steps;
    double seconds;                    // time after which no group runs a further EM step
    std::optional<SearchView> search;  // settings of the split-and-merge search; empty if there is no search
    bool has_initial = false;          // whether EM begins at the mixtures in `FitsView` and uses the given ridge
    // prior of the mixtures (only with `has_initial`); `prior->weight_unit` does not include `GroupsView::weight_unit`
    std::optional<PackedPriorView> prior = std::nullopt;
    // log V of the noise component, as in EmView; infinite without `has_initial`
    double log_noise_volume = kInfinity;
};

struct FitsView {  // concatenated results of all groups
    // mixtures at which EM ends; EM also begins at these mixtures if `has_initial` is true
    double *weights, *means, *covariances;
    double *factors, *log_abs_det;  // whitening factors of the covariances, and log |det| of each factor
    double* ridge;                  // ridges of all groups, (n_groups, n_features)
    // number of EM steps of each group, (n_groups,), or -1 if Python must fit the group; in this case, the other
    // results of the group are undefined
    std::int64_t* n_steps;
    bool* has_converged;                  // whether EM has converged for each group, (n_groups,)
    std::vector<Values>& log_likelihood;  // mean log-likelihood before each step, one array for each group
    // mean objective (log-likelihood plus log prior) before each step; empty without a prior
    std::vector<Values>& objective;
    SearchReport* search = nullptr;  // report of each group, (n_groups,), which contains NaN if no search was run
};

// Fits each group: initialises a mixture, and then runs EM steps as `run_em` does. Python must fit a group if its rows
// violate the requirements of validation/rows.py, if the group has fewer distinct rows than components, or if a column
// is constant. Python must also fit a group if a k-means centre loses its rows, if the first M-step would violate
// `limits`, or if EM from one of several initialisations ends before convergence. If centres and a ridge are given,
// Python need not fit the group unless a centre loses its rows or the first M-step fails. If an initial mixture is
// given, Python need not fit the group unless the first EM step fails. Returns false if interrupted.
bool fit_many(const KernelTable& kernels, const GroupsView& groups, const FitSettingsView& settings,
              const Execution& execution, const FitsView& out);

}  // namespace gaussmix
