#include "neighbours.hpp"

#include <algorithm>
#include <vector>

namespace gaussmix {

namespace {

using Components = std::vector<std::int32_t>;

constexpr Index kPartComponents = 1024;    // number of components whose lists are written with one table of counts
constexpr double kWorkOfNeighbour = 32.0;  // in multiply-adds

// Calls visit(component, other) for each pair of overlapping components of each sampled row, in both orders.
template <class Visit>
void visit_pairs(const NeighboursView& task, Visit&& visit) {
    for (Index i = 0; i < task.n_sampled; ++i) {
        const std::int32_t* row = task.sampled + i * task.n_candidates;
        if (row[0] < 0) continue;
        for (Index c = 1; c < task.n_candidates; ++c) {
            if (row[c] < 0) continue;
            visit(row[0], row[c]);
            visit(row[c], row[0]);
        }
    }
}

// The components that overlap with each component, once for each sampled row. The list of component k begins at
// starts[k] and ends at starts[k + 1].
struct Overlaps {
    std::vector<Index> starts;
    Components others;

    explicit Overlaps(const NeighboursView& task) : starts(task.n_components + 2, 0) {
        visit_pairs(task, [&](Index k, std::int32_t) { ++starts[k + 2]; });
        for (Index k = 0; k < task.n_components; ++k) starts[k + 2] += starts[k + 1];
        others.resize(starts.back());
        // Afterwards, starts[k + 1] is the end of list k, which is the beginning of list k + 1.
        visit_pairs(task, [&](Index k, std::int32_t other) { others[starts[k + 1]++] = other; });
    }
};

// Writes the neighbours of component k. All elements of `n_shared_rows`, (n_components,), are 0 before and after the
// call.
void write_neighbours(const NeighboursView& task, const Overlaps& overlaps, Index k,
                      std::vector<std::int32_t>& n_shared_rows, std::int32_t* neighbours) {
    Components listed;
    const auto count = [&](std::int32_t other) {
        if (n_shared_rows[other]++ == 0) listed.push_back(other);
    };
    for (Index j = k * task.n_near; j < (k + 1) * task.n_near; ++j) {
        if (task.near[j] >= 0) count(task.near[j]);
    }
    const auto end_of_near = static_cast<std::ptrdiff_t>(listed.size());
    for (Index j = overlaps.starts[k]; j < overlaps.starts[k + 1]; ++j) count(overlaps.others[j]);
    std::sort(listed.begin(), listed.begin() + end_of_near);
    std::sort(listed.begin() + end_of_near, listed.end(), [&](std::int32_t one, std::int32_t other) {
        const std::int32_t n_one = n_shared_rows[one], n_other = n_shared_rows[other];
        return n_one != n_other ? n_one > n_other : one < other;
    });
    for (const std::int32_t other : listed) n_shared_rows[other] = 0;
    if (listed.empty()) listed.push_back(-1);
    // A short list is repeated, because a step that tries only some entries would waste its turn on an empty entry.
    const Index n_listed = std::min(static_cast<Index>(listed.size()), task.n_neighbours);
    for (Index j = 0; j < task.n_neighbours; ++j) neighbours[j] = listed[j % n_listed];
}

}  // namespace

bool list_neighbours(const NeighboursView& task, const Execution& execution, std::int32_t* neighbours) {
    const Overlaps overlaps(task);
    const auto write_part = [&](Index part, const Execution&) {
        std::vector<std::int32_t> n_shared_rows(task.n_components, 0);
        for (Index k = part * kPartComponents; k < std::min((part + 1) * kPartComponents, task.n_components); ++k)
            write_neighbours(task, overlaps, k, n_shared_rows, neighbours + k * task.n_neighbours);
    };
    const double work = kWorkOfNeighbour * static_cast<double>(kPartComponents * (task.n_near + task.n_neighbours));
    return process_each((task.n_components + kPartComponents - 1) / kPartComponents, work, execution, write_part);
}

}  // namespace gaussmix
