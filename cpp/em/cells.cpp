#include "cells.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <queue>

#include "values.hpp"

namespace gaussmix {

namespace {

struct Cell {
    Index first, last;           // range of the cell's rows in the current order of rows
    double mass = 0;             // total weight of the cell's rows
    Index feature = 0;           // feature with the largest variance, along which the cell is split
    double nearby = 0, cut = 0;  // rows whose `feature` is at most `nearby` + `cut` form the lower part of the cell

    // Orders cells so that the heaviest cell is split first. Among cells of equal weight, the cell that comes first in
    // the tree is split first, so that the result does not depend on the order of the rows.
    bool operator<(const Cell& other) const { return mass < other.mass || (mass == other.mass && first > other.first); }
};

class Cells {
public:
    Cells(const double* rows, const double* weight, Index n_rows, Index n_features)
        : d_(n_features), stride_(n_features + 1), items_(zeros(n_rows * stride_)), origins_(n_rows), begins_(n_rows) {
        std::iota(origins_.begin(), origins_.end(), Index{0});
        for (Index row = 0; row < n_rows; ++row) {
            std::copy_n(rows + row * d_, d_, item(row));
            item(row)[d_] = weight[row];
        }
        add({0, n_rows});
    }

    // Splits the heaviest cell in two. Returns false if no cell can be split.
    bool split() {
        if (queue_.empty()) return false;
        const Cell cell = queue_.top();
        queue_.pop();
        const auto is_lower = [&](Index at) { return item(at)[cell.feature] - cell.nearby <= cell.cut; };
        Index middle = cell.first, last = cell.last;
        while (middle < last) {
            if (is_lower(middle)) {
                ++middle;
            } else if (--last; is_lower(last)) {
                std::swap_ranges(item(middle), item(middle) + stride_, item(last));
                std::swap(origins_[middle], origins_[last]);
            }
        }
        begins_[middle] = 1;
        add({cell.first, middle});
        add({middle, cell.last});
        return true;
    }

    std::vector<std::int32_t> labels() const {
        std::vector<std::int32_t> labels(origins_.size());
        std::int32_t label = 0;
        for (std::size_t at = 0; at < labels.size(); ++at) labels[origins_[at]] = label += begins_[at];
        return labels;
    }

private:
    // Adds a cell to the queue of cells to split, if the cell can be split. Deviations are first taken from a row with
    // positive weight, so that all deviations are exactly 0 if all rows are equal, and then from the mean.
    void add(Cell cell) {
        const double* nearby = item(cell.first);
        for (Index at = cell.first; !(nearby[d_] > 0) && at < cell.last; ++at) nearby = item(at);
        Values mean = zeros(d_), squares = zeros(d_);
        double low = std::numeric_limits<double>::infinity(), high = -low;
        for (Index at = cell.first; at < cell.last; ++at) {
            const double *row = item(at), weight = row[d_];
            cell.mass += weight;
            for (Index j = 0; j < d_; ++j) mean[j] += weight * (row[j] - nearby[j]);
        }
        for (double& each : mean) each /= cell.mass;
        for (Index at = cell.first; at < cell.last; ++at) {
            const double *row = item(at), weight = row[d_];
            for (Index j = 0; j < d_; ++j) {
                const double deviation = row[j] - nearby[j] - mean[j];
                squares[j] += weight * (deviation * deviation);
            }
        }
        cell.feature = argmax(squares);
        cell.nearby = nearby[cell.feature];
        if (!(squares[cell.feature] > 0)) return;
        // Keep the cut below the largest value. If the mean were rounded up to the largest value and used as the cut,
        // the upper part of the cell would have no weight.
        for (Index at = cell.first; at < cell.last; ++at) {
            if (!(item(at)[d_] > 0)) continue;
            low = std::min(low, item(at)[cell.feature] - cell.nearby);
            high = std::max(high, item(at)[cell.feature] - cell.nearby);
        }
        const double middle = mean[cell.feature];
        cell.cut = low <= middle && middle < high ? middle : low;
        queue_.push(cell);
    }

    double* item(Index at) { return items_.data() + at * stride_; }

    const Index d_, stride_;
    Values items_;                // the values of each row, followed by the row's weight
    std::vector<Index> origins_;  // index of each row in the table
    std::vector<char> begins_;    // 1 at the first row of every cell except the first cell, and 0 at all other rows
    std::priority_queue<Cell> queue_;
};

}  // namespace

std::vector<std::int32_t> partition_cells(const double* rows, const double* weight, Index n_rows, Index n_features,
                                          Index n_cells, Listener listener) {
    Cells cells(rows, weight, n_rows, n_features);
    for (Index n = 1; n < n_cells && !listener.ask(listener.self) && cells.split(); ++n) continue;
    return cells.labels();
}

}  // namespace gaussmix
