// What starts find out about the rows of a table, for em/initialisation/sample.py and fits in one call.
#pragma once
#include <vector>

#include "families/volume.hpp"

namespace gaussmix {

struct DistinctRows {
    std::vector<Index> indices;  // one row for each, in lexicographic order
    Values weight;               // of all rows that are equal to it
    std::vector<Index> rank;     // of each row of the table; without a meaning where its weight is 0
};

// What these write is not used where the listener says that they are to be given up.
DistinctRows distinct_rows(const RowsView& rows, const RowWeightView& row_weight, Listener listener);

// Writes the rows at some places one after the other.
void copy_rows(const RowsView& rows, const std::vector<Index>& indices, Listener listener, double* out);

// Variances of columns without `dropped` weight at each end; 0 where nothing else is left. Rows are in C order.
void trimmed_variances(const double* rows, const double* weight, Index n_rows, Index n_features, double dropped,
                       Listener listener, double* out);

}  // namespace gaussmix
