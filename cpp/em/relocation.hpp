// Corrects misplaced centres of k-means.
//
// k-means often leaves one centre between two clusters that lie apart, and two centres in another cluster. Further
// passes of k-means cannot correct this, and neither can EM. Split-and-merge moves can, but with many features or
// components, the limit on a search's work often ends the search before the right move. A relocation is such a move for
// k-means: it merges two clusters that are near each other, and divides a cluster that consists of two separate halves.
// Looking for relocations takes as long as a few passes of k-means.
#pragma once
#include "kmeans.hpp"

namespace gaussmix {

// Relocates centres of converged k-means and runs k-means again, as long as this lowers the sum of squared distances of
// the rows from their nearest centres. The rows must be in C order and have weights. Returns false if interrupted.
bool relocate_centres(const KernelTable& kernels, const CentresView& task, const Execution& execution);

}  // namespace gaussmix
