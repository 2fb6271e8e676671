#include "sample.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <span>
#include <utility>

#include "kernels/poll.hpp"

namespace gaussmix {

namespace {

double number_at(const RowsView& rows, Index row, Index column) {
    const Index place = row * rows.row_stride + column * rows.column_stride;
    return rows.is_float32 ? static_cast<const float*>(rows.data)[place] : static_cast<const double*>(rows.data)[place];
}

constexpr std::size_t kFew = 32;

struct Keyed {
    std::uint64_t key;  // rises with the number that it is made of
    Index place;
};

Keyed keyed(double number, Index place) {
    const auto bits = std::bit_cast<std::uint64_t>(number + 0.0);  // -0 and 0 are the same number
    constexpr auto kSign = std::uint64_t{1} << 63;
    return {bits & kSign ? ~bits : bits | kSign, place};
}

// Sorts by the keys; equal keys stay in their order. `spare` has room for as many.
void sort_by_key(std::span<Keyed> items, std::vector<Keyed>& spare) {
    if (items.size() < kFew) {
        for (std::size_t i = 1; i < items.size(); ++i) {
            for (std::size_t j = i; j > 0 && items[j].key < items[j - 1].key; --j) std::swap(items[j], items[j - 1]);
        }
        return;
    }
    constexpr int kBytes = 8;
    std::array<std::array<std::size_t, 256>, kBytes> counts{};
    const auto byte = [](const Keyed& item, int i) { return item.key >> (8 * i) & 255; };
    for (const Keyed& item : items) {
        for (int i = 0; i < kBytes; ++i) ++counts[i][byte(item, i)];
    }
    for (int i = 0; i < kBytes; ++i) {
        auto& starts = counts[i];
        if (starts[byte(items[0], i)] == items.size()) continue;
        std::exclusive_scan(starts.begin(), starts.end(), starts.begin(), std::size_t{0});
        for (const Keyed& item : items) spare[starts[byte(item, i)]++] = item;
        std::copy_n(spare.begin(), items.size(), items.begin());
    }
}

// Puts rows in the order of their first number, then the second, ...: later columns are read only for ties.
void sort_rows(const RowsView& rows, Listener listener, std::vector<Keyed>& items) {
    struct Ties {
        std::size_t first, last;
        Index column;
    };
    std::vector<Keyed> spare(items.size());
    std::vector<Ties> left{{0, items.size(), 0}};
    while (!left.empty() && !listener.ask(listener.self)) {
        const Ties ties = left.back();
        left.pop_back();
        const std::span some(items.data() + ties.first, ties.last - ties.first);
        for (Keyed& item : some) item = keyed(number_at(rows, item.place, ties.column), item.place);
        sort_by_key(some, spare);
        if (ties.column + 1 == rows.n_features) continue;
        for (std::size_t first = ties.first, last; first < ties.last; first = last) {
            for (last = first + 1; last < ties.last && items[last].key == items[first].key;) ++last;
            if (last - first > 1) left.push_back({first, last, ties.column + 1});
        }
    }
}

bool are_equal(const RowsView& rows, Index one, Index other) {
    for (Index column = 0; column < rows.n_features; ++column) {
        if (number_at(rows, one, column) != number_at(rows, other, column)) return false;
    }
    return true;
}

// The numbers of one row.
template <class Number>
void copy_row(const RowsView& rows, Index row, double* out) {
    const Number* numbers = static_cast<const Number*>(rows.data) + row * rows.row_stride;
    for (Index column = 0; column < rows.n_features; ++column) out[column] = numbers[column * rows.column_stride] + 0.0;
}

// Exactly 0 for equal values, because it is taken about one of them: the first of largest weight.
double variance(const Numbers& values, Numbers weight) {
    const double nearby = values[std::max_element(weight.begin(), weight.end()) - weight.begin()];
    const double total = std::accumulate(weight.begin(), weight.end(), 0.0);
    for (double& each : weight) each /= total;
    double mean = 0, spread = 0;
    for (std::size_t i = 0; i < values.size(); ++i) mean += weight[i] * (values[i] - nearby);
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double deviation = values[i] - nearby - mean;
        spread += weight[i] * deviation * deviation;
    }
    return spread;
}

// Where every row counts once: nothing needs to be sorted, and what is left stays in its order.
double variance_between(const Numbers& values, Index dropped) {
    const Index first = dropped, last = static_cast<Index>(values.size()) - 1 - dropped;
    Numbers parted = values;
    std::nth_element(parted.begin(), parted.begin() + first, parted.end());
    const double low = parted[first];
    std::nth_element(parted.begin() + first, parted.begin() + last, parted.end());
    const double high = parted[last];
    if (low == high) return 0;
    Numbers kept{low, high}, weight{static_cast<double>(-first), static_cast<double>(last + 1)};
    kept.reserve(values.size());
    weight.reserve(values.size());
    for (const double value : values) {
        weight[0] += value <= low;
        weight[1] -= value < high;
        if (low < value && value < high) {
            kept.push_back(value);
            weight.push_back(1);
        }
    }
    return variance(kept, std::move(weight));
}

// A value at an end may lose a part of its weight.
double trimmed_variance(const Numbers& values, const double* weight, double dropped) {
    std::vector<Keyed> items(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) items[i] = keyed(values[i], static_cast<Index>(i));
    std::vector<Keyed> spare(items.size());
    sort_by_key(items, spare);
    const double last = std::accumulate(items.begin(), items.end(), 0.0,
                                        [&](double sum, const Keyed& item) { return sum + weight[item.place]; }) -
                        dropped;
    if (!(last > dropped)) return 0;
    Numbers sorted, kept;
    double reached = 0, inside = dropped;
    for (const Keyed& item : items) {
        reached += weight[item.place];
        const double following = std::clamp(reached, dropped, last);
        sorted.push_back(values[item.place]);
        kept.push_back(following - inside);
        inside = following;
    }
    return variance(sorted, std::move(kept));
}

}  // namespace

DistinctRows distinct_rows(const RowsView& rows, const RowWeightView& row_weight, Listener listener) {
    const auto weight_of = [&](Index row) { return row_weight.data ? row_weight.data[row * row_weight.stride] : 1.0; };
    std::vector<Keyed> present;
    present.reserve(static_cast<std::size_t>(rows.n_rows));
    for (Index row = 0; row < rows.n_rows; ++row) {
        if (weight_of(row) > 0) present.push_back({0, row});
    }
    sort_rows(rows, listener, present);
    DistinctRows found;
    found.places.reserve(present.size());
    found.weight.reserve(present.size());
    found.rank.resize(static_cast<std::size_t>(rows.n_rows));
    for (const auto [key, row] : present) {
        if (!found.places.empty() && are_equal(rows, found.places.back(), row)) {
            found.weight.back() += weight_of(row);
        } else {
            found.places.push_back(row);
            found.weight.push_back(weight_of(row));
        }
        found.rank[row] = static_cast<Index>(found.places.size()) - 1;
    }
    return found;
}

void copy_rows(const RowsView& rows, const std::vector<Index>& places, Listener listener, double* out) {
    baseline::Poll poll(listener);
    for (const Index row : places) {
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
    Numbers values = room(n_rows);
    for (Index column = 0; column < n_features && !listener.ask(listener.self); ++column) {
        for (Index row = 0; row < n_rows; ++row) values[row] = rows[row * n_features + column];
        if (dropped == 0) {
            out[column] = variance(values, Numbers(weight, weight + n_rows));
        } else {
            out[column] = counts_once ? variance_between(values, static_cast<Index>(dropped))
                                      : trimmed_variance(values, weight, dropped);
        }
    }
}

}  // namespace gaussmix
