// Python bindings for drawing random rows from a mixture.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/variant.h>

#include "bind.hpp"
#include "sampling.hpp"

namespace gaussmix {

namespace {

using Words = Contiguous<std::uint32_t, 2>;

void bound_draw(const Target& target, const Contiguous<double, 1>& cumulative, const Contiguous<double, 2>& means,
                int factor_shape, const Factors& factors, std::uint64_t key, const Writable<double, 2>& rows,
                const Writable<std::int64_t, 1>& labels, int n_threads) {
    require(means.shape(1) > 0, "means must have features");
    DrawView view{};
    view.shape = shape_of(count_components(cumulative, means, {}, {}), extent(means, 1), factor_shape);
    require(means.shape(0) == cumulative.shape(0), "cumulative and means must have the same number of components");
    const ParametersView parameters = view_gaussians(means, factors, view.shape);
    require(rows.shape(1) == means.shape(1) && rows.shape(0) == labels.shape(0),
            "rows must have shape (n_rows, n_features), and labels (n_rows,)");
    require(cumulative.data()[view.shape.n_components - 1] > 1, "the last cumulative weight must exceed 1");
    view.means = parameters.means;
    view.factors = parameters.factors;
    view.cumulative = cumulative.data();
    view.key = key;
    view.rows = rows.data();
    view.labels = labels.data();
    without_gil(n_threads,
                [&](const Execution& execution) { return draw(*target.kernels, view, extent(rows, 0), execution); });
}

Result<double> bound_normals(const Target& target, const Words& words) {
    require(words.shape(1) == 4, "words must have shape (n, 4)");
    NewArray<double> out({words.shape(0), 2});
    target.kernels->normals(words.data(), extent(words, 0), out.data());
    return out.release();
}

}  // namespace

void bind_draws(nb::class_<Target>& type) {
    using namespace nb::literals;
    type.def("draw", bound_draw, "cumulative"_a, "means"_a, "factor_shape"_a, "factors"_a, "key"_a,
             "rows"_a.noconvert(), "labels"_a.noconvert(), "n_threads"_a,
             "Fill rows and labels with draws of a mixture, functions of the key and of the row's index.")
        .def("normals", bound_normals, "words"_a.noconvert(),
             "Make two standard normal numbers from each four words of random bits (n, 4), by Box and Muller.");
}

}  // namespace gaussmix
