#include "e_step.hpp"

#include <algorithm>

#include "passes.hpp"

namespace gaussmix {

namespace {

// Checks whether all row weights are 1.
bool are_ones(const RowWeightView& weight, Index n_rows) {
    for (Index row = 0; row < n_rows && weight.data != nullptr; ++row) {
        if (weight.data[row * weight.stride] != 1) return false;
    }
    return true;
}

}  // namespace

EStep::EStep(const KernelTable& kernels, const EmView& task, const Execution& execution)
    : kernels_(kernels),
      task_(task),
      algebra_(task.algebra),
      execution_(execution),
      n_components_(task.n_components),
      d_(task.rows.n_features),
      row_weight_(are_ones(task.row_weight, task.rows.n_rows) ? RowWeightView{} : task.row_weight),
      log_scale_(zeros(n_components_ + task.has_noise())),
      origin_means_(zeros(n_components_ * d_)) {
    if (task.is_variational()) posterior_.emplace(kernels, *task.prior, algebra_, n_components_, d_);
}

double EStep::added_by_prior(const Mixture& mixture) const {
    if (posterior_) return -posterior_->divergence();
    return log_prior(kernels_, *task_.prior, algebra_, n_components_, d_, mixture);
}

bool EStep::expect(const Mixture& mixture, const double* anchor, Moments& moments) {
    if (task_.is_incomplete) return expect_incomplete(mixture, moments.view());
    const bool uses_total = moments.uses_total;
    const Shape shape{n_components_, d_,         algebra_.factor_shape(),
                      uses_total,    Rule::soft, uses_total ? Second::none : algebra_.second()};
    StepView pass{shape, task_.rows, row_weight_, {}, {}, task_.row_prior};
    if (posterior_) {
        posterior_->update(mixture);
        std::copy_n(posterior_->log_weights(), n_components_, log_scale_.begin());
    } else {
        kernels_.log(mixture.weights.data(), static_cast<Index>(log_scale_.size()), log_scale_.data());
    }
    add_peaks(algebra_, d_, mixture, n_components_, log_scale_.data());
    const double* means = mixture.means.data();
    if (uses_total) {
        pass.rows.origin = task_.total.centre;
        for (Index i = 0; i < n_components_ * d_; ++i) origin_means_[i] = means[i] - task_.total.centre[i % d_];
        means = origin_means_.data();
    }
    ParametersView parameters{
        log_scale_.data(), means,
        uses_total ? mixture.factors.data() : all_factors(algebra_, mixture, n_components_, factors_),
        uses_total ? nullptr : anchor};
    if (task_.has_noise()) parameters.log_noise_density = log_scale_.back() - task_.log_noise_volume;
    return gaussmix::step(kernels_, pass, parameters, execution_, moments.view());
}

// Sums the expected moments of incomplete rows about the means of the components. The kernels for incomplete rows have
// only triangular factors and sum no traces, so the second moments of spherical components are summed over the features
// here.
bool EStep::expect_incomplete(const Mixture& mixture, const MomentsView& out) {
    const bool is_trace = algebra_.second() == Second::trace;
    IncompleteView task{};
    task.shape = {n_components_, d_,         FactorShape::triangular,
                  false,         Rule::soft, is_trace ? Second::diagonal : algebra_.second()};
    task.rows = task_.rows;
    task.row_weight = task_.row_weight;
    task.prior = task_.row_prior;
    task.error = task_.error;
    kernels_.log(mixture.weights.data(), n_components_, log_scale_.data());
    second_by_feature_.resize(is_trace ? n_components_ * d_ : 0);
    MomentsView sums = out;
    if (is_trace) sums.second = second_by_feature_.data();
    const double* means = mixture.means.data();
    if (!step_incomplete(kernels_, task, {log_scale_.data(), means, triangular_factors(mixture), means}, execution_,
                         sums, &patterns_)) {
        return false;
    }
    if (!is_trace) return true;
    for (Index k = 0; k < n_components_; ++k) out.second[k] = sum(second_by_feature_.data() + k * d_, d_);
    return true;
}

// Returns triangular whitening factors, one for each component.
const double* EStep::triangular_factors(const Mixture& mixture) {
    if (algebra_.factor_shape() == FactorShape::triangular)
        return all_factors(algebra_, mixture, n_components_, factors_);
    factors_.assign(n_components_ * d_ * d_, 0.0);
    const Index size = algebra_.size(d_);
    for (Index k = 0; k < n_components_; ++k) {
        const double* factor = mixture.factors.data() + (algebra_.is_shared() ? 0 : k * size);
        for (Index j = 0; j < d_; ++j) factors_[(k * d_ + j) * d_ + j] = factor[size == 1 ? 0 : j];
    }
    return factors_.data();
}

}  // namespace gaussmix
