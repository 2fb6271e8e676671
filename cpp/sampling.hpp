// Draws the rows of a mixture with the kernels of one instruction set, block by block.
#pragma once
#include "spans.hpp"

namespace gaussmix {

// Fills view.rows and view.labels, and makes the guide itself. Returns false if interrupted.
bool draw(const KernelTable& kernels, DrawView view, Index n_rows, const Execution& execution);

}  // namespace gaussmix
