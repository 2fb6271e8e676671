// Splits of one component of a mixture of one feature into two.
#pragma once
#include <optional>

#include "column_em.hpp"

namespace gaussmix {

class ColumnSplits {
public:
    ColumnSplits(const KernelTable& kernels, const ColumnView& task, const Execution& execution);

    // Returns the best split of a component, given the indices of its rows: the two halves of `bisect`, or a pair of
    // components that `best_nested_pair` fits. Returns nothing if the two halves are the best split but do not raise
    // the log-likelihood.
    std::optional<Mixture> parts_of(const Indices& indices, const double* cut) const;

private:
    struct Group;

    Group gathered(const Indices& indices, Index heaviest) const;
    double best_nested_pair(const Group& group, double least, Mixture& parts) const;

    const KernelTable& kernels_;
    const Algebra algebra_;
    const Execution execution_;
    const double *rows_, *weight_;
    double scale_;  // standard deviation of all rows
};

}  // namespace gaussmix
