// Draws random rows from a mixture with the kernels of one instruction set, block by block.
#pragma once
#include "spans.hpp"

namespace gaussmix {

// Writes random rows to view.rows and their components to view.labels. The caller need not set view.guide. Returns
// false if interrupted.
bool draw(const KernelTable& kernels, DrawView view, Index n_rows, const Execution& execution);

}  // namespace gaussmix
