#include "mixture.hpp"

#include <algorithm>

#include "passes.hpp"

namespace gaussmix {

void Mixture::read(const double* from_weights, const double* from_means, const double* from_covariances) {
    std::copy_n(from_weights, weights.size(), weights.begin());
    std::copy_n(from_means, means.size(), means.begin());
    std::copy_n(from_covariances, covariances.size(), covariances.begin());
}

void Mixture::write(const MixtureView& to) const {
    std::copy(weights.begin(), weights.end(), to.weights);
    std::copy(means.begin(), means.end(), to.means);
    std::copy(covariances.begin(), covariances.end(), to.covariances);
    std::copy(factors.begin(), factors.end(), to.factors);
    std::copy(log_abs_det.begin(), log_abs_det.end(), to.log_abs_det);
}

Mixture select_components(const Mixture& mixture, const Indices& indices) {
    Mixture result;
    for (const auto field :
         {&Mixture::weights, &Mixture::means, &Mixture::covariances, &Mixture::factors, &Mixture::log_abs_det}) {
        const Values& from = mixture.*field;
        const auto size = static_cast<Index>(from.size() / mixture.weights.size());
        for (const Index k : indices) {
            (result.*field).insert((result.*field).end(), from.begin() + k * size, from.begin() + (k + 1) * size);
        }
    }
    return result;
}

const double* all_factors(const Algebra& algebra, const Mixture& mixture, Index n_components, Values& memory) {
    if (!algebra.is_shared()) return mixture.factors.data();
    memory.clear();
    for (Index k = 0; k < n_components; ++k) {
        memory.insert(memory.end(), mixture.factors.begin(), mixture.factors.end());
    }
    return memory.data();
}

Values evaluate(const KernelTable& kernels, const Algebra& algebra, const Mixture& mixture, const Values& log_scale,
                const RowsView& rows, Output output, const Execution& execution) {
    const auto n_components = static_cast<Index>(log_scale.size());
    const Index n_each = output == Output::log_density                        ? 1
                         : output == Output::responsibilities_and_log_density ? n_components + 1
                                                                              : n_components;
    Values result = zeros(rows.n_rows * n_each), memory;
    const Shape shape{n_components, rows.n_features, algebra.factor_shape(), false, Rule::soft, Second::none};
    const double* factors = all_factors(algebra, mixture, n_components, memory);
    const ParametersView parameters{log_scale.data(), mixture.means.data(), factors, nullptr};
    if (!evaluate(kernels, shape, rows, parameters, output, execution, result.data())) return {};
    return result;
}

void add_peaks(const Algebra& algebra, Index d, const Mixture& mixture, Index n_components, double* log_scale) {
    for (Index k = 0; k < n_components; ++k) {
        log_scale[k] += mixture.log_abs_det[algebra.is_shared() ? 0 : k] - 0.5 * static_cast<double>(d) * kLog2Pi;
    }
}

bool factorise(const KernelTable& kernels, const Algebra& algebra, Index d, Listener listener, Mixture& mixture) {
    return find_whitening(kernels, algebra.factor_shape(), static_cast<Index>(mixture.log_abs_det.size()), d,
                          mixture.covariances.data(), listener, mixture.factors.data(), mixture.log_abs_det.data());
}

}  // namespace gaussmix
