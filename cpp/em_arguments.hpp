// Arguments that several bindings of EM take, and their conversion to the core's structs.
#pragma once
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <optional>
#include <tuple>

#include "bind.hpp"
#include "em/em_view.hpp"
#include "em/search.hpp"

namespace gaussmix {

inline constexpr const char* kNoiseAlone = "noise must not be combined with a prior or incomplete rows";

using LimitValues = std::tuple<double, double, double, double>;

Limits to_limits(const LimitValues& limits);

// `n_weights` is the number of weights of the mixture, including the weight of a noise component.
EmView view_em(const Rows& rows, const RowWeight& row_weight, const Letters& letters, std::size_t n_weights,
               const Contiguous<double, 1>& ridge, const LimitValues& limits, double log_noise_volume = kInfinity);

// Checks that rows are float64, in C order and weighted, and also sets `total_weight`.
EmView view_weighted_em(const Rows& rows, const RowWeight& row_weight, const Letters& letters, std::size_t n_weights,
                        const Contiguous<double, 1>& ridge, const LimitValues& limits);

// A mixture whose arrays are changed in place, with new arrays for the whitening factors of the covariances.
struct MixtureArrays {
    NewArray<double> factors, log_abs_det;
    MixtureView view;

    MixtureArrays(const EmView& task, const Writable<double, 1>& weights, const Writable<double, 2>& means,
                  const Writable<double, 1>& covariances);
};

// Tuple of the fields of engines.calls.PackedPrior, in the order in which this class declares them.
using PackedPrior = std::tuple<bool, double, Index, Contiguous<double, 1>, double, double, Contiguous<double, 1>,
                               Maybe<2>, double, double, double, bool, bool>;

std::optional<PackedPriorView> view_prior(const std::optional<PackedPrior>& prior, const Algebra& algebra, Index d);

// Pair of a flag and the measurement errors; the flag is true if rows have missing values or measurement errors.
using Incompleteness = std::tuple<bool, Error>;

ErrorView view_incompleteness(const Incompleteness& incompleteness, const RowsView& rows);

using Stop = std::tuple<double, Index>;  // tolerance and maximum number of EM steps
// Tuple of the fields of `AcceptanceSettings`, in the order in which the struct declares them.
using Acceptance = std::tuple<Stop, Stop, Stop, Stop, double, double, double, double, double, double>;

// Tuple of the fields of engines.calls.SearchSettings, in the order in which this class declares them.
using PackedSearch =
    std::tuple<Contiguous<double, 2>, std::tuple<Index, Index, double>, Stop, Stop, Stop, Acceptance, Index, Index,
               Index, Index, Index, Index, Index, Index, double, double, Index, double, double, Index, Index>;

SearchView view_search(const PackedSearch& packed_search);

}  // namespace gaussmix
