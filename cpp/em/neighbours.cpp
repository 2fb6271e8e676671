#include "neighbours.hpp"

#include <algorithm>
#include <vector>

namespace gaussmix {

namespace {

using Components = std::vector<std::int32_t>;

constexpr Index kTogether = 1024;  // number of components whose lists are made with the same table of counts

// Calls visit(component, other) for each pair of overlapping components of each sampled row, in both orders.
template <class Visit>
void visit_pairs(const NeighboursView& task, Visit&& visit) {
    for (Index i = 0; i < task.n_sampled; ++i) {
        const std::int32_t* row = task.sampled + i * task.n_candidates;
        for (Index c = 1; c < task.n_candidates && row[0] >= 0; ++c) {
            if (row[c] < 0) continue;
            visit(row[0], row[c]);
            visit(row[c], row[0]);
        }
    }
}

// The components that overlap with each component, once for each sampled row. The list of component k begins at
// starts[k] and ends at starts[k + 1].
struct Overlaps {
    std::vector<std::size_t> starts;
    Components others;

    explicit Overlaps(const NeighboursView& task) : starts(static_cast<std::size_t>(task.n_components + 2), 0) {
        visit_pairs(task, [&](std::int32_t k, std::int32_t) { ++starts[static_cast<std::size_t>(k) + 2]; });
        for (std::size_t k = 2; k < starts.size(); ++k) starts[k] += starts[k - 1];
        others.resize(starts.back());
        // Afterwards, starts[k + 1] is the end of list k, which is the beginning of list k + 1.
        visit_pairs(task, [&](std::int32_t k, std::int32_t other) {
            others[starts[static_cast<std::size_t>(k) + 1]++] = other;
        });
    }
};

// Writes the neighbours of component k. All elements of `n_rows`, (n_components,), are 0 before and after the call.
void list_of(const NeighboursView& task, const Overlaps& overlaps, std::size_t k, Components& n_rows,
             std::int32_t* neighbours) {
    Components found;
    const auto rows_of = [&](std::int32_t other) -> std::int32_t& { return n_rows[static_cast<std::size_t>(other)]; };
    const auto count = [&](std::int32_t other) {
        if (rows_of(other)++ == 0) found.push_back(other);
    };
    const std::int32_t* near = task.near + static_cast<Index>(k) * task.n_near;
    for (Index j = 0; j < task.n_near; ++j) {
        if (near[j] >= 0) count(near[j]);
    }
    const auto n_near = static_cast<std::ptrdiff_t>(found.size());
    for (std::size_t j = overlaps.starts[k]; j < overlaps.starts[k + 1]; ++j) count(overlaps.others[j]);
    std::sort(found.begin(), found.begin() + n_near);
    std::sort(found.begin() + n_near, found.end(), [&](std::int32_t one, std::int32_t other) {
        return rows_of(one) != rows_of(other) ? rows_of(one) > rows_of(other) : one < other;
    });
    for (const std::int32_t other : found) rows_of(other) = 0;
    if (found.empty()) found.push_back(-1);
    const std::size_t n_listed = std::min(found.size(), static_cast<std::size_t>(task.n_neighbours));
    for (std::size_t j = 0; j < static_cast<std::size_t>(task.n_neighbours); ++j) neighbours[j] = found[j % n_listed];
}

}  // namespace

bool list_neighbours(const NeighboursView& task, const Execution& execution, std::int32_t* neighbours) {
    const Overlaps overlaps(task);
    const auto list_some = [&](Index part, const Execution&) {
        Components n_rows(static_cast<std::size_t>(task.n_components), 0);
        for (Index k = part * kTogether; k < std::min((part + 1) * kTogether, task.n_components); ++k)
            list_of(task, overlaps, static_cast<std::size_t>(k), n_rows, neighbours + k * task.n_neighbours);
    };
    const double work = 32.0 * static_cast<double>(kTogether * (task.n_near + task.n_neighbours));
    return process_each((task.n_components + kTogether - 1) / kTogether, work, execution, list_some);
}

}  // namespace gaussmix
