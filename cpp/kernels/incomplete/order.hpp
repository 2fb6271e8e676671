// Sorts the rows of a leaf (block of 65,520 rows) by their patterns of missing values. Patterns are sorted by their
// first appearance, and rows with the same pattern keep their order.
#pragma once
#include "pattern.hpp"

namespace gaussmix::GAUSSMIX_ISA::incomplete {

struct OrderScratch {
    Index patterns, table, row_pattern, starts, size;  // offsets in the scratch memory, in bytes

    explicit OrderScratch(Index n_features, Index n_rows) : n_slots(1) {
        while (n_slots < 2 * n_rows) n_slots *= 2;
        Carver carver(64);
        patterns = carver.take(n_rows * pattern_words(n_features) * static_cast<Index>(sizeof(std::uint64_t)));
        table = carver.take(n_slots * static_cast<Index>(sizeof(std::uint32_t)));
        row_pattern = carver.take(n_rows * static_cast<Index>(sizeof(std::uint16_t)));
        starts = carver.take((n_rows + 1) * static_cast<Index>(sizeof(std::uint32_t)));
        size = carver.size();
    }
    Index n_slots;
};

inline Index order_scratch(Index n_features, Index n_rows) noexcept { return OrderScratch(n_features, n_rows).size; }

// Sorts rows first .. last - 1 (at most a leaf, 65,520 rows). Writes, for each row in the sorted order, the index of
// the row, relative to `first`, and the index of the row's pattern.
inline void order(const RowsView& rows, Index first, Index last, Listener listener, void* scratch,
                  std::uint16_t* indices, std::uint16_t* pattern) noexcept {
    const Index n_rows = last - first, n_words = pattern_words(rows.n_features);
    const OrderScratch layout(rows.n_features, n_rows);
    char* bytes = static_cast<char*>(scratch);
    std::uint64_t* patterns = reinterpret_cast<std::uint64_t*>(bytes + layout.patterns);  // the distinct patterns
    // hash table, in which each slot holds 1 + the index of a pattern, or 0 if the slot is free
    std::uint32_t* table = reinterpret_cast<std::uint32_t*>(bytes + layout.table);
    std::uint16_t* row_pattern = reinterpret_cast<std::uint16_t*>(bytes + layout.row_pattern);
    std::uint32_t* starts = reinterpret_cast<std::uint32_t*>(bytes + layout.starts);
    const auto are_equal = [&](const std::uint64_t* a, const std::uint64_t* b) {
        Index w = 0;
        while (w < n_words && a[w] == b[w]) ++w;
        return w == n_words;
    };
    __builtin_memset(table, 0, static_cast<std::size_t>(layout.n_slots) * sizeof(std::uint32_t));
    Poll poll(listener);
    Index n_patterns = 0;
    for (Index i = 0; i < n_rows; ++i) {
        std::uint64_t* mine = patterns + n_patterns * n_words;
        find_missing(rows, first + i, mine);
        std::uint64_t hash = 0;
        for (Index w = 0; w < n_words; ++w) {
            hash = (hash ^ mine[w]) * 0x9e3779b97f4a7c15;
            hash ^= hash >> 32;
        }
        Index slot = static_cast<Index>(hash & static_cast<std::uint64_t>(layout.n_slots - 1));
        while (table[slot] != 0 && !are_equal(patterns + (table[slot] - 1) * n_words, mine))
            slot = (slot + 1) & (layout.n_slots - 1);
        if (table[slot] == 0) {
            table[slot] = static_cast<std::uint32_t>(++n_patterns);
            starts[n_patterns] = 0;
        }
        row_pattern[i] = static_cast<std::uint16_t>(table[slot] - 1);
        ++starts[table[slot]];
        if (poll.is_cancelled(8 * rows.n_features)) return;
    }
    starts[0] = 0;
    for (Index p = 0; p < n_patterns; ++p) starts[p + 1] += starts[p];
    for (Index i = 0; i < n_rows; ++i) {
        const std::uint32_t at = starts[row_pattern[i]]++;
        indices[at] = static_cast<std::uint16_t>(i);
        pattern[at] = row_pattern[i];
    }
}

}  // namespace gaussmix::GAUSSMIX_ISA::incomplete
