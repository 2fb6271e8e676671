// Adds up the rows of each leaf (block of 65,520 rows), and merges the sums of leaves in a binary tree.
#pragma once
#include <algorithm>
#include <vector>

#include "buffer.hpp"
#include "spans.hpp"

namespace gaussmix {

// Scratch memory for each worker (thread) of a job, aligned to cache lines.
class PerWorker {
public:
    PerWorker(int n_workers, Index bytes) : bytes_((bytes + 63) / 64 * 64), all_(n_workers * bytes_) {}
    void* of(int worker) const { return static_cast<char*>(all_.get()) + worker * bytes_; }
    double* doubles(int worker) const { return static_cast<double*>(of(worker)); }

private:
    const Index bytes_;
    const Buffer all_;
};

// Binary tree of the sums of leaves, in which neighbouring nodes are merged in pairs. A node at level l of the binary
// tree holds 2^l leaves; at the incomplete right end of the tree, nodes are merged from right to left. Because nodes
// are always merged in the same order, the total does not depend on how the rows are divided among calls, provided that
// each call begins and ends where a node of the tree begins and ends.
class Tree {
public:
    using Merge = decltype(StepKernels::merge);

    Tree(Merge merge, const Shape& shape, Index size) : merge_(merge), shape_(shape), size_(size) { open_leaf(); }

    // Returns the memory into which the sums of the current leaf are added.
    double* leaf() { return sums_[n_leaves_.size()].doubles(); }

    void close_leaf() {
        n_leaves_.push_back(1);
        while (n_leaves_.size() > 1 && n_leaves_.end()[-2] == n_leaves_.back()) merge_last();
        open_leaf();
    }

    // Completes the current leaf, and returns the sums of all leaves.
    const double* total() {
        n_leaves_.push_back(1);
        while (n_leaves_.size() > 1) merge_last();
        return sums_.front().doubles();
    }

private:
    void open_leaf() {
        if (sums_.size() > n_leaves_.size()) return;  // if the buffer exists already, `merge` has cleared this buffer
        sums_.push_back(Buffer::of_doubles(size_));
        std::fill_n(leaf(), size_, 0.0);
    }

    void merge_last() {
        const std::size_t last = n_leaves_.size() - 1;
        merge_(shape_, sums_[last].doubles(), sums_[last - 1].doubles());
        n_leaves_.pop_back();
        n_leaves_.back() *= 2;
    }

    const Merge merge_;
    const Shape& shape_;
    const Index size_;
    std::vector<Buffer> sums_;     // sums of unmerged nodes, then the sums of the current leaf, then cleared buffers
    std::vector<Index> n_leaves_;  // number of leaves in each unmerged node
};

// Adds up the rows of each span with add(worker, first, last, listener, sums), merges the sums in the tree, and passes
// the total to unpack(sums). Returns false if interrupted.
template <class Add, class Unpack>
bool sum_leaves(SpanJob& job, int n_workers, const Execution& execution, Tree::Merge merge, const Shape& shape,
                Index n_sums, Add&& add, Unpack&& unpack) {
    const PerWorker partial(n_workers, n_sums * static_cast<Index>(sizeof(double)));
    for (int worker = 0; worker < n_workers; ++worker) std::fill_n(partial.doubles(worker), n_sums, 0.0);
    job.process = [&](int worker, Index first, Index last, Listener listener) {
        add(worker, first, last, listener, partial.doubles(worker));
    };
    // A single span needs no merge, and with few rows, allocating memory for a tree would take as long as computing the
    // sums.
    if (job.n_rows <= job.rows_in_span) {
        if (!process_spans(job, execution)) return false;
        unpack(partial.doubles(0));
        return true;
    }
    Tree tree(merge, shape, n_sums);
    const Index spans_in_leaf = kLeafRows / job.rows_in_span;
    Index n_merged = 0;
    job.merge = [&](int worker) {
        if (n_merged > 0 && n_merged % spans_in_leaf == 0) tree.close_leaf();
        ++n_merged;
        merge(shape, partial.doubles(worker), tree.leaf());
    };
    if (!process_spans(job, execution)) return false;
    unpack(tree.total());
    return true;
}

}  // namespace gaussmix
