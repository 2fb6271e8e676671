// Code shared by the bind_*.cpp files, which define the Python methods of `Target`.
#pragma once
#include <nanobind/nanobind.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "em/kmeans.hpp"
#include "gil.hpp"
#include "spans.hpp"
#include "values.hpp"

namespace gaussmix {

struct Target {
    const KernelTable* kernels;
};

inline bool is_interrupted() {
    const AcquiredGil acquired;
    return PyErr_CheckSignals() != 0;
}

// Runs a pass without holding the GIL. If the pass is interrupted or returns false, the pending Python exception is
// raised.
template <class Pass>
void without_gil(int n_threads, Pass&& pass, std::function<bool()> is_over = is_interrupted) {
    require(n_threads >= 1, "n_threads must be at least 1");
    Interrupt interrupt(std::move(is_over));
    const Execution execution{n_threads, interrupt};
    bool is_complete;
    {
        const ReleasedGil released;
        if constexpr (std::is_void_v<decltype(pass(execution))>) {
            pass(execution);
            is_complete = !interrupt.has_come();
        } else {
            is_complete = pass(execution);
        }
    }
    if (!is_complete) throw nb::python_error();
}

// Returns an array for the second moments, in the shape that `shape.second` requires. With projections, each feature
// has its products with the projections, followed by its sum of squares.
inline std::optional<NewArray<double>> new_second(const Shape& shape) {
    const auto count = static_cast<std::size_t>(shape.n_components),
               features = static_cast<std::size_t>(shape.n_features),
               projected = static_cast<std::size_t>(shape.n_projected);
    switch (shape.second) {
        case Second::trace: return NewArray<double>({count});
        case Second::diagonal: return NewArray<double>({count, features});
        case Second::full: return NewArray<double>({count, features, features});
        case Second::projected: return NewArray<double>({count, features, projected + 1});
        default: return std::nullopt;
    }
}

// The sums of an EM step (log-likelihood, zeroth to second moments), in newly allocated arrays.
struct NewMoments {
    explicit NewMoments(const Shape& shape)
        : mass({static_cast<std::size_t>(shape.n_components)}),
          first({static_cast<std::size_t>(shape.n_components), static_cast<std::size_t>(shape.n_features)}),
          second(new_second(shape)) {}

    MomentsView view() {
        return {&log_likelihood, &n_distant, &n_active, mass.data(), first.data(), second ? second->data() : nullptr,
                &noise};
    }

    double log_likelihood = 0, n_distant = 0, n_active = 0, noise = 0;
    NewArray<double> mass, first;
    std::optional<NewArray<double>> second;
};

inline std::optional<Result<double>> released(std::optional<NewArray<double>>& array) {
    if (!array) return std::nullopt;
    return array->release();
}

// Returns the values in a new array.
template <class To = double, class From>
Result<To> to_array(const std::vector<From>& values) {
    NewArray<To> out({values.size()});
    std::copy(values.begin(), values.end(), out.data());
    return out.release();
}

// Checks the arguments of `seed_centres`.
inline void check_seeding(Index n_components, Index n_candidates, std::size_t n_uniform) {
    require(n_components > 0 && n_candidates > 0, "n_components or n_candidates is 0");
    require(n_uniform == static_cast<std::size_t>(n_seed_draws(n_components, n_candidates)),
            "uniform must have 1 + (n_components - 1) n_candidates numbers for each start");
}

// Each of these functions is defined in the bind_*.cpp file for its subject.
void bind_algebra(nb::class_<Target>& type);
void bind_draws(nb::class_<Target>& type);
void bind_bayes(nb::class_<Target>& type);
void bind_em(nb::class_<Target>& type);
void bind_fit_many(nb::class_<Target>& type);
void bind_incomplete(nb::class_<Target>& type);
void bind_search(nb::class_<Target>& type);
void bind_starts(nb::class_<Target>& type);
void bind_truncated(nb::class_<Target>& type);

}  // namespace gaussmix
