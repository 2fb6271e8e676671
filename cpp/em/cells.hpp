// Partitions rows into cells of rows that lie near each other, to initialise thousands of components and to sort
// components by their position in space.
#pragma once
#include <vector>

#include "spans.hpp"

namespace gaussmix {

// Repeatedly splits the heaviest cell at the mean of the feature that varies most within this cell, until there are
// `n_cells` cells or no cell can be split (Bentley 1975). Su & Dy (2007, section 3) split the cell with the largest sum
// of squares instead. Returns the index of each row's cell. The cells are numbered in the order of the binary tree of
// splits, where the lower part of each split comes first. The rows must be finite and in C order. If `listener` cancels
// the call, the result must not be used.
std::vector<std::int32_t> partition_cells(const double* rows, const double* weight, Index n_rows, Index n_features,
                                          Index n_cells, Listener listener);

}  // namespace gaussmix
