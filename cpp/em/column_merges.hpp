// Merges of two components of a mixture of one feature, and their gains.
#pragma once
#include <optional>
#include <utility>
#include <vector>

#include "column_em.hpp"

namespace gaussmix {

struct Merge {
    Index one, other;
    double gain;         // expected rise of the lower bound, in nats
    double mean, scale;  // mean and scale matrix of the merged component
};

class ColumnMerges {
public:
    ColumnMerges(const KernelTable& kernels, const ColumnView& task, const Execution& execution, const ColumnEm& em);

    // Returns merges that are expected to raise the lower bound, best first. No component takes part in two of the
    // returned merges.
    std::vector<Merge> best_merges(const State& state);

private:
    std::vector<Merge> promising(const Mixture& after);
    std::optional<Merge> joined(const Mixture& mixture, Index one, Index other, double mass, double other_mass);
    void subtract_entropy_changes(const Mixture& model, std::vector<Merge>& merges) const;

    const KernelTable& kernels_;
    const ColumnView& task_;
    const PackedPriorView& prior_;
    const Execution execution_;
    const ColumnEm& em_;
    Approximation approximation_;
};

}  // namespace gaussmix
