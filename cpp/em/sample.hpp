// Distinct rows and trimmed variances of a table, for em/initialisation/sample.py and for fits in one call.
#pragma once
#include <vector>

#include "families/volume.hpp"

namespace gaussmix {

struct DistinctRows {
    std::vector<Index> indices;  // index of one row for each distinct row, in lexicographic order
    Values weight;               // total weight of the equal rows
    std::vector<Index> rank;     // index of the distinct row for each row of the table; undefined if its weight is 0
};

// If the listener cancels one of these functions, its results are not used.
DistinctRows distinct_rows(const RowsView& rows, const RowWeightView& row_weight, Listener listener);

// Copies the rows with the given indices, one after the other.
void copy_rows(const RowsView& rows, const std::vector<Index>& indices, Listener listener, double* out);

// Computes variances of columns without `dropped` weight at each end; 0 if nothing else is left. Rows are in C order.
void trimmed_variances(const double* rows, const double* weight, Index n_rows, Index n_features, double dropped,
                       Listener listener, double* out);

}  // namespace gaussmix
