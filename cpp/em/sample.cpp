#include "sample.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>
#include <utility>

namespace gaussmix {

namespace {

double number_at(const RowsView& rows, Index row, Index column) {
    const Index place = row * rows.row_stride + column * rows.column_stride;
    return rows.is_float32 ? static_cast<const float*>(rows.data)[place] : static_cast<const double*>(rows.data)[place];
}

struct Keyed {
    std::uint64_t key;  // rises with the number that it is made of
    Index place;
};

Keyed keyed(double number, Index place) {
    const auto bits = std::bit_cast<std::uint64_t>(number + 0.0);  // -0 and 0 are the same number
    constexpr auto kSign = std::uint64_t{1} << 63;
    return {bits & kSign ? ~bits : bits | kSign, place};
}

// Sorts by the keys, byte after byte; equal keys stay in their order.
void sort_by_key(std::vector<Keyed>& items) {
    constexpr int kBytes = 8;
    std::array<std::array<std::size_t, 256>, kBytes> counts{};
    const auto byte = [](const Keyed& item, int i) { return item.key >> (8 * i) & 255; };
    for (const Keyed& item : items) {
        for (int i = 0; i < kBytes; ++i) ++counts[i][byte(item, i)];
    }
    std::vector<Keyed> sorted(items.size());
    for (int i = 0; i < kBytes; ++i) {
        auto& starts = counts[i];
        if (items.empty() || starts[byte(items[0], i)] == items.size()) continue;
        std::exclusive_scan(starts.begin(), starts.end(), starts.begin(), std::size_t{0});
        for (const Keyed& item : items) sorted[starts[byte(item, i)]++] = item;
        items.swap(sorted);
    }
}

// The places of some rows in the order of their first number, then the second, ...
std::vector<Index> lexicographic_order(const RowsView& rows, std::vector<Keyed> items) {
    for (Keyed& item : items) item = keyed(number_at(rows, item.place, 0), item.place);
    sort_by_key(items);
    std::vector<Index> order;
    order.reserve(items.size());
    for (const Keyed& item : items) order.push_back(item.place);
    const auto precedes = [&](Index one, Index other) {
        for (Index column = 1; column < rows.n_features; ++column) {
            const double a = number_at(rows, one, column), b = number_at(rows, other, column);
            if (a != b) return a < b;
        }
        return false;
    };
    for (std::size_t first = 0, last; first < items.size(); first = last) {
        for (last = first + 1; last < items.size() && items[last].key == items[first].key;) ++last;
        if (last - first == 1) continue;  // `stable_sort` would allocate memory even so
        const auto begin = order.begin();
        std::stable_sort(begin + static_cast<Index>(first), begin + static_cast<Index>(last), precedes);
    }
    return order;
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
    sort_by_key(items);
    const double last = std::accumulate(items.begin(), items.end(), 0.0,
                                        [&](double sum, const Keyed& item) { return sum + weight[item.place]; }) -
                        dropped;
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

DistinctRows distinct_rows(const RowsView& rows, const RowWeightView& row_weight) {
    const auto weight_of = [&](Index row) { return row_weight.data ? row_weight.data[row * row_weight.stride] : 1.0; };
    std::vector<Keyed> present;
    present.reserve(static_cast<std::size_t>(rows.n_rows));
    for (Index row = 0; row < rows.n_rows; ++row) {
        if (weight_of(row) > 0) present.push_back({0, row});
    }
    const std::vector<Index> order = lexicographic_order(rows, std::move(present));
    DistinctRows found;
    const Index d = rows.n_features;
    found.rows = room(static_cast<Index>(order.size()) * d);
    found.weight.reserve(order.size());
    found.rank.resize(static_cast<std::size_t>(rows.n_rows));
    for (const Index row : order) {
        double* numbers = found.rows.data() + found.n_rows * d;
        rows.is_float32 ? copy_row<float>(rows, row, numbers) : copy_row<double>(rows, row, numbers);
        if (found.n_rows > 0 && std::equal(numbers, numbers + d, numbers - d)) {
            found.weight.back() += weight_of(row);
        } else {
            found.weight.push_back(weight_of(row));
            ++found.n_rows;
        }
        found.rank[row] = found.n_rows - 1;
    }
    found.rows.resize(static_cast<std::size_t>(found.n_rows * d));
    return found;
}

void trimmed_variances(const double* rows, const double* weight, Index n_rows, Index n_features, double dropped,
                       double* out) {
    const bool counts_once = std::all_of(weight, weight + n_rows, [](double each) { return each == 1; });
    Numbers values = room(n_rows);
    for (Index column = 0; column < n_features; ++column) {
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
