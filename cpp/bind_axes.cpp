// Python bindings for the eigenvectors (axes) of covariances.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <tuple>

#include "bind.hpp"
#include "families/axes.hpp"

namespace gaussmix {

namespace {

std::tuple<Result<double>, Result<double>> bound_principal_axes(const Target& target,
                                                                const Contiguous<double, 3>& matrices) {
    const std::size_t count = matrices.shape(0), features = matrices.shape(1);
    require(matrices.shape(2) == features, "matrices must have shape (n, n_features, n_features)");
    NewArray<double> spectra({count, features});
    NewArray<double> axes({count, features, features});
    without_gil(1, [&](const Execution& execution) {
        principal_axes(*target.kernels, static_cast<Index>(count), static_cast<Index>(features), matrices.data(),
                       execution.interrupt.listener(), spectra.data(), axes.data());
    });
    return {spectra.release(), axes.release()};
}

Result<double> bound_shared_axes(const Target& target, const Contiguous<double, 3>& scatters,
                                 const Contiguous<double, 2>& start, const Maybe<1>& importance, int max_sweeps) {
    const std::size_t count = scatters.shape(0), features = scatters.shape(1);
    require(scatters.shape(2) == features, "scatters must have shape (n_components, n_features, n_features)");
    require(start.shape(0) == features && start.shape(1) == features, "start must have shape (n_features, n_features)");
    require(!importance || importance->shape(0) == count, "importance must have shape (n_components,)");
    NewArray<double> axes({features, features});
    std::copy_n(start.data(), features * features, axes.data());
    const ScattersView view{static_cast<Index>(count), static_cast<Index>(features), scatters.data(),
                            importance ? importance->data() : nullptr};
    without_gil(1, [&](const Execution& execution) {
        shared_axes(*target.kernels, view, max_sweeps, execution.interrupt.listener(), axes.data());
    });
    return axes.release();
}

}  // namespace

void bind_axes(nb::class_<Target>& type) {
    using namespace nb::literals;
    type.def("principal_axes", bound_principal_axes, "matrices"_a,
             "Compute eigenvalues of positive semidefinite matrices, largest first, and eigenvectors in columns.")
        .def("shared_axes", bound_shared_axes, "scatters"_a, "start"_a, "importance"_a.none(), "max_sweeps"_a,
             "Return axes near `start`, in columns, that scatters share best; None weights them by volumes.");
}

}  // namespace gaussmix
