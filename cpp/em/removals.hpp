// Removals of one component of a mixture, and bounds on the log-likelihood that they cost.
#pragma once
#include <vector>

#include "mixture.hpp"
#include "passes.hpp"

namespace gaussmix {

constexpr double kMinResponsibility = 0.01;  // smaller responsibilities are neglected

struct Responsibilities {  // responsibilities of all rows under a mixture, and sums of the responsibilities
    // responsibilities, (n_rows, n_components), and log densities of the rows, (n_rows,)
    Values values, log_density;
    // for each component, the ascending indices of the rows whose responsibility exceeds kMinResponsibility
    std::vector<Indices> indices;
    // For each component, `n_rows` stores the sum of its responsibilities, and `mass` stores this sum with each row
    // weighted by its fraction of the total weight.
    Values n_rows, mass;
    // weighted sums of the products of two components' responsibilities, (n_components, n_components)
    Values overlap;
    double log_likelihood;  // weighted mean of the log densities
};

// component `freed` loses its rows to component `heir`; `gain` is the change of the log-likelihood in nats per row
struct Removal {
    double gain;
    Index freed, heir;  // `heir` is -1 if all other components take over the rows
};

class Removals {
public:
    // `row_fraction` is each row's fraction of the total weight.
    Removals(const KernelTable& kernels, const Algebra& algebra, const Execution& execution, const Mixture& mixture,
             const Responsibilities& responsibilities, const Values& row_fraction);

    // Returns possible removals of components, sorted by the loss of log-likelihood, smallest loss first. A component
    // is removed in one of two ways: the component is merged with another component into a single component with the
    // moments of both, or the rows of the component are given to all other components.
    std::vector<Removal> rank() const;

    // Removes the components whose removal costs least log-likelihood, and returns the responsibilities of the
    // remaining components. At most `limit` components are removed, and no component is involved in two removals.
    // `count` receives the number of remaining components.
    Values remove(Index limit, Index& count) const;

private:
    double responsibility(Index row, Index k) const { return responsibilities_.values[row * n_components_ + k]; }
    double expected_after_merge(Index k, Index l) const;
    double merge_gain_with_shared_covariance(Index k, Index l) const;
    Index nearest_by_overlap(Index k) const;
    template <class Responsibility>
    double negative_entropy(const Indices& indices, Responsibility&& responsibility_of) const;

    const KernelTable& kernels_;
    const Algebra algebra_;
    const Execution& execution_;
    const Mixture& mixture_;
    const Responsibilities& responsibilities_;
    const Values& row_fraction_;
    const Index n_rows_, d_, n_components_;
};

}  // namespace gaussmix
