// Finds the distinct rows of a table and computes trimmed variances, for em/initialisation/sample.py and for
// fit_many.cpp.
#pragma once
#include <vector>

#include "values.hpp"

namespace gaussmix {

constexpr Index kCacheLine = 8;  // number of doubles in a cache line

struct DistinctRows {
    // for each distinct row, the index of one row of the table that equals this row; the distinct rows are in
    // lexicographic order
    std::vector<Index> indices;
    Values weight;  // for each distinct row, the total weight of the rows that equal this row
    // for each row of the table, the index of the distinct row that equals it; undefined if the weight of the row is 0
    std::vector<Index> distinct_index;
};

// If `listener` cancels a call of one of the following functions, the results of the call must not be used.
DistinctRows distinct_rows(const RowsView& rows, const RowWeightView& row_weight, Listener listener);

// Copies the rows with the given indices, one after the other.
void copy_rows(const RowsView& rows, const std::vector<Index>& indices, Listener listener, double* out);

// Computes the variance of each column after values with a total weight of `dropped` are removed at each end of the
// sorted column. The variance is 0 if no weight remains. The rows must be in C order. If all weights are 1, `dropped`
// must be an integer.
void trimmed_variances(const double* rows, const double* weight, Index n_rows, Index n_features, double dropped,
                       Listener listener, double* out);

}  // namespace gaussmix
