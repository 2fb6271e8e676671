// k-means without coming back to Python: the passes of starts/kmeans.py once more.
#pragma once
#include "spans.hpp"

namespace gaussmix {

struct CentresView {
    RowsView rows;
    RowWeightView row_weight;
    Index n_components;
    double settled;  // stops when centres move by less: the sum of their squared motions
    Index max_passes;
    double* centres;  // (n_components, n_features), moved
};

// Moves centres to the means of their nearest rows until they settle. Stops before a pass that leaves a centre without
// rows. Counts the passes that may still be made: 0 where the centres have settled. False if interrupted.
bool move_centres(const KernelTable& kernels, const CentresView& task, const Execution& execution, Index& n_left);

}  // namespace gaussmix
