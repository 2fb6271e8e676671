// Lists the neighbours of each component, which truncated EM tries for the component's rows.
#pragma once
#include <cstdint>

#include "spans.hpp"

namespace gaussmix {

struct NeighboursView {  // arguments of `list_neighbours`; the value -1 marks empty entries of both arrays
    Index n_components, n_near, n_sampled, n_candidates, n_neighbours;
    const std::int32_t* near;     // components with near means, (n_components, n_near)
    const std::int32_t* sampled;  // candidates of sampled rows, best first, (n_sampled, n_candidates)
};

// Writes the neighbours of each component, (n_components, n_neighbours): first the components in `near`, ordered by
// index, and then other components that overlap with it. Two components overlap if one is the best candidate of a
// sampled row and the other is another candidate of this row. The components that share the most rows come first; if
// the numbers of rows are equal, the lower index comes first. A list that is too short is repeated, and an empty list
// consists of -1. Returns false if interrupted.
bool list_neighbours(const NeighboursView& task, const Execution& execution, std::int32_t* neighbours);

}  // namespace gaussmix
