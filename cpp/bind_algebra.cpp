// Python bindings for whitening factors, eigenvectors (axes) and updates of covariances, and elementary functions.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "bind.hpp"
#include "em/variational.hpp"
#include "families/axes.hpp"
#include "families/factor_analysis.hpp"
#include "families/update.hpp"
#include "passes.hpp"

namespace gaussmix {

namespace {

std::tuple<Result<double>, Result<double>, Result<bool>> bound_factorise(const Target& target,
                                                                         const Contiguous<double, 3>& covariances) {
    const std::size_t count = covariances.shape(0), features = covariances.shape(1);
    require(covariances.shape(2) == features, "covariances must have shape (n_components, n_features, n_features)");
    NewArray<double> factors({count, features, features});
    NewArray<double> log_abs_det({count});
    NewArray<bool> failed({count});
    without_gil(1, [&](const Execution& execution) {
        return factorise(*target.kernels, static_cast<Index>(count), static_cast<Index>(features), covariances.data(),
                         factors.data(), log_abs_det.data(), failed.data(), execution.interrupt);
    });
    return {factors.release(), log_abs_det.release(), failed.release()};
}

// Views covariances [Lambda | psi] of factor analysers.
LoadingsView view_loadings(const Contiguous<double, 3>& covariances) {
    require(covariances.shape(1) > 0 && covariances.shape(2) > 1,
            "covariances of factor analysers must have shape (n, n_features, n_factors + 1)");
    return {extent(covariances, 0), extent(covariances, 1), extent(covariances, 2) - 1, covariances.data()};
}

using LowRankFactors = std::tuple<Result<double>, Result<double>, Result<double>, Result<double>, Result<bool>>;

LowRankFactors bound_factorise_low_rank(const Target& target, const Contiguous<double, 3>& covariances) {
    const LoadingsView view = view_loadings(covariances);
    const std::size_t count = covariances.shape(0), features = covariances.shape(1),
                      n_factors = covariances.shape(2) - 1;
    NewArray<double> factors({count, features, n_factors + 1}), log_abs_det({count});
    NewArray<double> projections({count, n_factors, features}), posterior({count, n_factors, n_factors});
    NewArray<bool> failed({count});
    const LowRankWhiteningView out{factors.data(), log_abs_det.data(), projections.data(), posterior.data(),
                                   failed.data()};
    without_gil(1, [&](const Execution& execution) {
        find_low_rank_whitening(*target.kernels, view, execution.interrupt.listener(), out);
    });
    return {factors.release(), log_abs_det.release(), projections.release(), posterior.release(), failed.release()};
}

Result<double> bound_gram(const Target& target, const Contiguous<double, 3>& factors) {
    const std::size_t count = factors.shape(0), features = factors.shape(1);
    require(features > 0 && factors.shape(2) == features, "factors must have shape (n, n_features, n_features)");
    NewArray<double> products({count, features, features});
    without_gil(1, [&](const Execution& execution) {
        return gram(*target.kernels, static_cast<Index>(count), static_cast<Index>(features), factors.data(),
                    products.data(), execution.interrupt);
    });
    return products.release();
}

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
        shared_axes(*target.kernels, view, {max_sweeps, 0}, execution.interrupt.listener(), axes.data());
    });
    return axes.release();
}

Result<double> bound_log(const Target& target, const Contiguous<double, 1>& values) {
    NewArray<double> out({values.shape(0)});
    target.kernels->log(values.data(), extent(values, 0), out.data());
    return out.release();
}

// Values of log Gamma and of its derivative, the digamma function.
using GammasResult = std::tuple<Result<double>, Result<double>>;

GammasResult bound_gammas(const Target& target, const Contiguous<double, 1>& values) {
    NewArray<double> logs({values.size()}), derivatives({values.size()});
    gammas(*target.kernels, values.data(), static_cast<Index>(values.size()), logs.data(), derivatives.data());
    return {logs.release(), derivatives.release()};
}

Result<double> bound_update(const Target& target, const Letters& letters, const Contiguous<double, 1>& mass,
                            const Contiguous<double, 1>& second, Index n_features, const Maybe<1>& current) {
    const Algebra algebra = to_algebra(letters);
    require(n_features > 0 && mass.size() > 0, "n_features or n_components is 0");
    const auto size =
        static_cast<std::size_t>(algebra.n_covariances(static_cast<Index>(mass.size())) * algebra.size(n_features));
    require(second.size() == size, "second must be of the algebra's size");
    require(!current || current->size() == size, "current must be of the algebra's size");
    NewArray<double> covariances({size});
    const SecondSumsView scatter{static_cast<Index>(mass.size()), n_features, mass.data(), second.data()};
    without_gil(1, [&](const Execution& execution) {
        update(*target.kernels, algebra, scatter, current ? current->data() : nullptr, execution.interrupt.listener(),
               covariances.data());
    });
    return covariances.release();
}

Result<double> bound_update_factors(const Target& target, bool has_shared_loadings, const Contiguous<double, 1>& mass,
                                    const Contiguous<double, 3>& second, const Contiguous<double, 3>& current,
                                    const Contiguous<double, 3>& projections,
                                    const Contiguous<double, 3>& posterior_covariances) {
    const LoadingsView view = view_loadings(current);
    const std::size_t count = current.shape(0), features = current.shape(1), n_factors = current.shape(2) - 1;
    const auto has_shape = [&](const Contiguous<double, 3>& array, std::size_t rows, std::size_t columns) {
        return array.shape(0) == count && array.shape(1) == rows && array.shape(2) == columns;
    };
    require(mass.size() == count, "mass must have shape (n,)");
    require(has_shape(second, features, n_factors + 1), "second must have the shape of current");
    require(has_shape(projections, n_factors, features), "projections must have shape (n, n_factors, n_features)");
    require(has_shape(posterior_covariances, n_factors, n_factors),
            "posterior_covariances must have shape (n, n_factors, n_factors)");
    NewArray<double> covariances({count, features, n_factors + 1});
    without_gil(1, [&](const Execution& execution) {
        update_factors(*target.kernels, has_shared_loadings, {mass.data(), second.data()}, view,
                       {projections.data(), posterior_covariances.data()}, execution.interrupt.listener(),
                       covariances.data());
    });
    return covariances.release();
}

Result<double> bound_other_covariances(const Target& target, const Letters& letters, const Contiguous<double, 1>& mass,
                                       const Contiguous<double, 1>& second, Index n_features) {
    const Algebra algebra = to_algebra(letters);
    require(algebra.has_common_axes() && n_features > 0 && mass.size() > 0,
            "components of the algebra must share axes");
    const std::size_t size = mass.size() * static_cast<std::size_t>(algebra.size(n_features));
    require(second.size() == size, "second must be of the algebra's size");
    const SecondSumsView scatter{static_cast<Index>(mass.size()), n_features, mass.data(), second.data()};
    std::vector<Values> result;
    without_gil(1, [&](const Execution& execution) {
        result = other_covariances(*target.kernels, algebra, scatter, execution.interrupt.listener());
    });
    NewArray<double> covariances({result.size(), size});
    for (std::size_t i = 0; i < result.size(); ++i) std::copy_n(result[i].data(), size, covariances.data() + i * size);
    return covariances.release();
}

}  // namespace

void bind_algebra(nb::class_<Target>& type) {
    using namespace nb::literals;
    type.def("factorise", bound_factorise, "covariances"_a,
             "Compute whitening factors W (W' W is the inverse), log |det W|, and flags of failed covariances.")
        .def("factorise_low_rank", bound_factorise_low_rank, "covariances"_a,
             "Compute whitening factors W of [loadings | noise], log |det W|, posteriors of factors, and failures.")
        .def("gram", bound_gram, "factors"_a, "Return W' W of each factor W, (n, n_features, n_features).")
        .def("principal_axes", bound_principal_axes, "matrices"_a,
             "Compute eigenvalues of positive semidefinite matrices, largest first, and eigenvectors in columns.")
        .def("shared_axes", bound_shared_axes, "scatters"_a, "start"_a, "importance"_a.none(), "max_sweeps"_a,
             "Return axes near `start`, in columns, that scatters share best; None weights them by volumes.")
        .def("log", bound_log, "values"_a, "Return natural logarithms, with the same bits on every processor.")
        .def("gammas", bound_gammas, "values"_a,
             "Return the logarithm of the gamma function of positive numbers, and its derivative.")
        .def("update", bound_update, "algebra"_a, "mass"_a, "second"_a, "n_features"_a, "current"_a.none(),
             "Compute covariances of a structure from the scatter about the new means.")
        .def("update_factors", bound_update_factors, "has_shared_loadings"_a, "mass"_a, "second"_a, "current"_a,
             "projections"_a, "posterior_covariances"_a,
             "Compute covariances [loadings | noise] of factor analysers from projected second moments.")
        .def("other_covariances", bound_other_covariances, "algebra"_a, "mass"_a, "second"_a, "n_features"_a,
             "Compute covariances along other axes, if components share axes: (n, size).");
}

}  // namespace gaussmix
