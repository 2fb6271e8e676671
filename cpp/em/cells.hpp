// Cells of rows that lie near each other: initialisation and a spatial order for thousands of components.
#pragma once
#include <vector>

#include "spans.hpp"

namespace gaussmix {

// Splits the heaviest cell along its feature of largest variance, at its mean, until there are `n_cells` or none has a
// spread. (Bentley 1975; Su & Dy 2007, section 3, split the cell with the largest sum of squares instead.) Returns a
// label for each row. Labels number the cells in the order of the tree, lower part first. Rows are finite and in C
// order. If the listener cancels the call, the result is not used.
std::vector<std::int32_t> partition_cells(const double* rows, const double* weight, Index n_rows, Index n_features,
                                          Index n_cells, Listener listener);

}  // namespace gaussmix
