#include "sample.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <numeric>
#include <span>
#include <utility>

#include "kernels/poll.hpp"

namespace gaussmix {

namespace {

double element_at(const RowsView& rows, Index row, Index column) {
    const Index index = row * rows.row_stride + column * rows.column_stride;
    return rows.is_float32 ? static_cast<const float*>(rows.data)[index] : static_cast<const double*>(rows.data)[index];
}

constexpr std::size_t kMaxInsertion = 32;  // fewer items than this are sorted by insertion
// One radix sort sorts items by kDigits digits of kDigitBits bits each.
constexpr int kDigits = 3, kDigitBits = 11;
// One of every kStride values is sampled to estimate bounds on the smallest and the largest values of a column.
constexpr Index kStride = 16;

struct Keyed {
    std::uint64_t key;  // sort key, which increases with the value from which the key is computed
    Index index;
};

Keyed keyed(double value, Index index) {
    const auto bits = __builtin_bit_cast(std::uint64_t, value + 0.0);  // adding 0 turns -0 into 0
    constexpr auto kSign = std::uint64_t{1} << 63;
    return {bits & kSign ? ~bits : bits | kSign, index};
}

// Sorts items by their keys; items with equal keys keep their order. `spare` must have at least the size of `items`.
void sort_by_key(std::span<Keyed> items, std::vector<Keyed>& spare) {
    if (items.size() < kMaxInsertion) {
        for (std::size_t i = 1; i < items.size(); ++i) {
            for (std::size_t j = i; j > 0 && items[j].key < items[j - 1].key; --j) std::swap(items[j], items[j - 1]);
        }
        return;
    }
    std::uint64_t varying = 0;
    for (const Keyed& item : items) varying |= item.key ^ items[0].key;
    if (varying == 0) return;
    // Items are first sorted by the leading bits in which their keys differ, because these bits separate nearly all
    // keys. Further bits are compared only if the leading bits of two keys are equal.
    const int shift = std::max(0, static_cast<int>(std::bit_width(varying)) - kDigits * kDigitBits);
    std::span<Keyed> from = items, to(spare.data(), items.size());
    for (int i = 0; i < kDigits; ++i) {
        std::array<std::uint32_t, 1 << kDigitBits> starts{};
        const auto digit = [&](const Keyed& item) {
            return item.key >> (shift + i * kDigitBits) & (starts.size() - 1);
        };
        for (const Keyed& item : from) ++starts[digit(item)];
        if (starts[digit(from[0])] == from.size()) continue;
        std::exclusive_scan(starts.begin(), starts.end(), starts.begin(), std::uint32_t{0});
        for (const Keyed& item : from) to[starts[digit(item)]++] = item;
        std::swap(from, to);
    }
    if (from.data() != items.data()) std::copy(from.begin(), from.end(), items.begin());
    for (std::size_t first = 0, last; shift > 0 && first < items.size(); first = last) {
        const auto leading = items[first].key >> shift;
        for (last = first + 1; last < items.size() && items[last].key >> shift == leading;) ++last;
        if (last - first > 1) sort_by_key(items.subspan(first, last - first), spare);
    }
}

// Sorts rows lexicographically: by their first number, then by the second, and so on. A column is read only for rows
// that are equal in all earlier columns.
void sort_rows(const RowsView& rows, Listener listener, std::vector<Keyed>& items) {
    struct Ties {
        std::size_t first, last;
        Index column;
    };
    std::vector<Keyed> spare(items.size());
    std::vector<Ties> pending{{0, items.size(), 0}};
    while (!pending.empty() && !listener.ask(listener.self)) {
        const Ties ties = pending.back();
        pending.pop_back();
        const std::span tied(items.data() + ties.first, ties.last - ties.first);
        for (Keyed& item : tied) item = keyed(element_at(rows, item.index, ties.column), item.index);
        sort_by_key(tied, spare);
        if (ties.column + 1 == rows.n_features) continue;
        for (std::size_t first = ties.first, last; first < ties.last; first = last) {
            for (last = first + 1; last < ties.last && items[last].key == items[first].key;) ++last;
            if (last - first > 1) pending.push_back({first, last, ties.column + 1});
        }
    }
}

bool are_equal(const RowsView& rows, Index one, Index other) {
    for (Index column = 0; column < rows.n_features; ++column) {
        if (element_at(rows, one, column) != element_at(rows, other, column)) return false;
    }
    return true;
}

// Copies the numbers of one row.
template <class Element>
void copy_row(const RowsView& rows, Index row, double* out) {
    const Element* values = static_cast<const Element*>(rows.data) + row * rows.row_stride;
    for (Index column = 0; column < rows.n_features; ++column) out[column] = values[column * rows.column_stride] + 0.0;
}

// Weights as fractions of their sum, and the index of the largest weight (the first index if several weights are
// equal).
struct Fractions {
    explicit Fractions(Values weight) : each(std::move(weight)), largest(argmax(each)) { normalise(each); }
    explicit Fractions(Index n_rows) : each(n_rows, 1 / static_cast<double>(n_rows)) {}

    Values each;
    Index largest = 0;
};

// number of columns or partial sums that are processed together, so that the processor need not wait for each addition
constexpr Index kTogether = 4;

// Computes variances of columns; consecutive numbers of a column are `stride` elements apart. The variance of equal
// values is exactly 0, because deviations are taken from one of the values.
template <std::size_t n_columns>
std::array<double, n_columns> variances(const std::array<const double*, n_columns>& values, Index stride,
                                        const Fractions& fractions) {
    const auto n_rows = static_cast<Index>(fractions.each.size());
    std::array<double, n_columns> nearby, mean{}, spread{};
    for (std::size_t j = 0; j < n_columns; ++j) nearby[j] = values[j][fractions.largest * stride];
    for (Index i = 0; i < n_rows; ++i) {
        for (std::size_t j = 0; j < n_columns; ++j) mean[j] += fractions.each[i] * (values[j][i * stride] - nearby[j]);
    }
    for (Index i = 0; i < n_rows; ++i) {
        for (std::size_t j = 0; j < n_columns; ++j) {
            const double deviation = values[j][i * stride] - nearby[j] - mean[j];
            spread[j] += fractions.each[i] * deviation * deviation;
        }
    }
    return spread;
}

// The value that follows the dropped values in sorted order, and the number of remaining values that equal this value.
struct Remaining {
    double value, count;
};

// Finds the value that would have the index `n_dropped` if the values were sorted in the order that `before` defines.
// A bound on this value is estimated from every kStride-th value, so that only the values up to the bound must be
// partitioned. The index of the bound in the sample is a quarter and 4 values larger than the expected index of the
// result, so that the result is nearly always within the bound; otherwise, all values are partitioned.
template <class Before>
Remaining first_remaining(const Values& values, Index n_dropped, Before before, Values& candidates) {
    const auto n_sampled = static_cast<Index>(values.size()) / kStride, bound_at = n_dropped * 5 / 4 / kStride + 4;
    Index n_active = 0;
    candidates.resize(values.size());
    if (bound_at < n_sampled) {
        Values sampled = zeros(n_sampled);
        for (Index i = 0; i < n_sampled; ++i) sampled[i] = values[i * kStride];
        std::nth_element(sampled.begin(), sampled.begin() + bound_at, sampled.end(), before);
        const double bound = sampled[bound_at];
        for (const double value : values) {
            candidates[n_active] = value;
            n_active += !before(bound, value);
        }
    }
    if (n_active <= n_dropped) {
        candidates = values;
        n_active = static_cast<Index>(values.size());
    }
    const auto first = candidates.begin() + n_dropped, end = candidates.begin() + n_active;
    std::nth_element(candidates.begin(), first, end, before);
    return {*first, static_cast<double>(std::count(first, end, *first))};
}

// Computes a trimmed variance without sorting, for rows that all have weight 1. Deviations are taken from the smallest
// or the largest remaining value, whichever is more frequent. `scratch` is overwritten.
double trimmed_variance(const Values& values, Index n_dropped, Values& scratch) {
    const Remaining low = first_remaining(values, n_dropped, std::less<>(), scratch);
    const Remaining high = first_remaining(values, n_dropped, std::greater<>(), scratch);
    if (low.value == high.value) return 0;
    const auto n_left = static_cast<double>(static_cast<Index>(values.size()) - 2 * n_dropped);
    const double nearby = low.count < high.count ? high.value : low.value;
    const double fraction = 1 / n_left, low_fraction = low.count / n_left, high_fraction = high.count / n_left;
    const auto sum_inside = [&](auto&& term) {
        std::array<double, kTogether> sums{};
        for (std::size_t i = 0; i < values.size(); ++i) {
            // A mask sets the terms of other values to 0, because the processor could not predict a branch.
            const std::uint64_t mask = -std::uint64_t{low.value < values[i]} & -std::uint64_t{values[i] < high.value};
            sums[i % kTogether] += std::bit_cast<double>(mask & std::bit_cast<std::uint64_t>(term(values[i] - nearby)));
        }
        return fraction * ((sums[0] + sums[1]) + (sums[2] + sums[3]));
    };
    const double mean = low_fraction * (low.value - nearby) + high_fraction * (high.value - nearby) +
                        sum_inside([](double deviation) { return deviation; });
    const auto square = [&](double deviation) { return (deviation - mean) * (deviation - mean); };
    return low_fraction * square(low.value - nearby) + high_fraction * square(high.value - nearby) + sum_inside(square);
}

// Computes a trimmed variance of weighted rows. The smallest and the largest value that remain may lose a part of their
// weight.
double trimmed_variance(const Values& values, const double* weight, double dropped) {
    std::vector<Keyed> items(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) items[i] = keyed(values[i], static_cast<Index>(i));
    std::vector<Keyed> spare(items.size());
    sort_by_key(items, spare);
    const double last = std::accumulate(items.begin(), items.end(), 0.0,
                                        [&](double sum, const Keyed& item) { return sum + weight[item.index]; }) -
                        dropped;
    if (!(last > dropped)) return 0;
    Values sorted, retained_weight;
    double reached = 0, inside = dropped;
    for (const Keyed& item : items) {
        reached += weight[item.index];
        const double following = std::clamp(reached, dropped, last);
        sorted.push_back(values[item.index]);
        retained_weight.push_back(following - inside);
        inside = following;
    }
    return variances<1>({sorted.data()}, 1, Fractions(std::move(retained_weight)))[0];
}

}  // namespace

DistinctRows distinct_rows(const RowsView& rows, const RowWeightView& row_weight, Listener listener) {
    const auto weight_of = [&](Index row) { return row_weight.data ? row_weight.data[row * row_weight.stride] : 1.0; };
    std::vector<Keyed> present;
    present.reserve(rows.n_rows);
    for (Index row = 0; row < rows.n_rows; ++row) {
        if (weight_of(row) > 0) present.push_back({0, row});
    }
    sort_rows(rows, listener, present);
    DistinctRows result;
    result.indices.reserve(present.size());
    result.weight.reserve(present.size());
    result.distinct_index.resize(rows.n_rows);
    for (const auto [key, row] : present) {
        if (!result.indices.empty() && are_equal(rows, result.indices.back(), row)) {
            result.weight.back() += weight_of(row);
        } else {
            result.indices.push_back(row);
            result.weight.push_back(weight_of(row));
        }
        result.distinct_index[row] = static_cast<Index>(result.indices.size()) - 1;
    }
    return result;
}

void copy_rows(const RowsView& rows, const std::vector<Index>& indices, Listener listener, double* out) {
    baseline::Poll poll(listener);
    for (const Index row : indices) {
        if (poll.is_cancelled(rows.n_features)) return;
        rows.is_float32 ? copy_row<float>(rows, row, out) : copy_row<double>(rows, row, out);
        out += rows.n_features;
    }
}

void trimmed_variances(const double* rows, const double* weight, Index n_rows, Index n_features, double dropped,
                       Listener listener, double* out) {
    if (2 * dropped >= std::accumulate(weight, weight + n_rows, 0.0)) {
        std::fill(out, out + n_features, 0.0);
        return;
    }
    const bool counts_once = std::all_of(weight, weight + n_rows, [](double each) { return each == 1; });
    if (dropped == 0) {
        const Fractions fractions = counts_once ? Fractions(n_rows) : Fractions(Values(weight, weight + n_rows));
        for (Index first = 0; first < n_features && !listener.ask(listener.self); first += kTogether) {
            std::array<const double*, kTogether> columns;
            for (Index j = 0; j < kTogether; ++j) columns[j] = rows + std::min(first + j, n_features - 1);
            const auto result = variances(columns, n_features, fractions);
            std::copy_n(result.begin(), std::min(kTogether, n_features - first), out + first);
        }
        return;
    }
    // The columns that share a cache line are read together.
    std::vector<Values> columns(std::min(kCacheLine, n_features), zeros(n_rows));
    Values scratch;
    for (Index first = 0; first < n_features && !listener.ask(listener.self); first += kCacheLine) {
        const Index count = std::min(kCacheLine, n_features - first);
        for (Index row = 0; row < n_rows; ++row) {
            for (Index j = 0; j < count; ++j) columns[j][row] = rows[row * n_features + first + j];
        }
        for (Index j = 0; j < count; ++j) {
            out[first + j] = counts_once ? trimmed_variance(columns[j], static_cast<Index>(dropped), scratch)
                                         : trimmed_variance(columns[j], weight, dropped);
        }
    }
}

}  // namespace gaussmix
