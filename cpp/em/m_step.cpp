#include "m_step.hpp"

#include <algorithm>

#include "families/update.hpp"

namespace gaussmix {

namespace {

// smallest fraction of the total weight that a component may have in variational Bayes, where `min_weight` does not
// apply
constexpr double kLeastMass = 0x1p-900;

}  // namespace

Moments::Moments(const EmView& task, bool with_total)
    : mass(zeros(task.n_components)), first(zeros(task.n_components * task.rows.n_features)) {
    allocate(task, with_total);
}

void Moments::allocate(const EmView& task, bool with_total) {
    uses_total = with_total;
    const Index n_second = with_total ? 1 : task.n_components;
    second.resize(n_second * task.algebra.size(task.rows.n_features));
}

MStep::MStep(const KernelTable& kernels, const EmView& task, Listener listener)
    : kernels_(kernels),
      task_(task),
      algebra_(task.algebra),
      listener_(listener),
      n_components_(task.n_components),
      d_(task.rows.n_features),
      offset_(zeros(d_)),
      degrees_(zeros(n_components_)) {}

bool MStep::maximise(Moments& moments, const double* anchor, const double* covariances, Mixture& following) {
    const PackedPriorView* prior = task_.prior;
    // number of rows by which a MAP estimate raises the mass of each component
    const double prior_mass = prior != nullptr && prior->is_map ? prior->weight_concentration / prior->weight_unit : 0;
    const double total = sum(moments.mass.data(), n_components_),
                 total_with_prior = total + static_cast<double>(n_components_) * prior_mass;
    for (Index k = 0; k < n_components_; ++k) {
        if (prior == nullptr || !prior->has_fixed_weights)
            following.weights[k] = (moments.mass[k] + prior_mass) / total_with_prior;
        if (!(moments.mass[k] / total > (task_.is_variational() ? kLeastMass : task_.limits.min_weight))) return false;
    }
    if (task_.has_noise()) {
        const double fraction = moments.noise / (moments.noise + total);
        for (double& weight : following.weights) weight *= 1 - fraction;
        following.weights.back() = fraction;
    }
    if (moments.uses_total) std::copy(task_.total.second, task_.total.second + d_ * d_, moments.second.begin());
    for (Index k = 0; k < n_components_; ++k) {
        double* second = moments.second.data() + (moments.uses_total ? 0 : k * algebra_.size(d_));
        move_to_mean(k, moments.uses_total ? task_.total.centre : anchor + k * d_, moments, following, second);
        degrees_[k] = moments.mass[k];
        if (prior != nullptr) apply_prior(k, moments.mass[k], following.means.data() + k * d_, second);
        add_ridge(degrees_[k], second);
    }
    if (algebra_.is_shared() && !moments.uses_total) pool(moments.second);
    const SecondSumsView scatter{n_components_, d_, degrees_.data(), moments.second.data()};
    update(kernels_, algebra_, scatter, covariances, listener_, following.covariances.data());
    return true;
}

bool MStep::maximise_pooled(Moments& moments, const double* anchor, Mixture& following) {
    Values& weights = following.weights;
    const double total = sum_in_pairs(moments.mass.data(), n_components_);
    for (Index k = 0; k < n_components_; ++k) {
        weights[k] = moments.mass[k] / total;
        if (!(weights[k] > task_.limits.min_weight)) return false;
    }
    const double sum_of_weights = sum_in_pairs(weights.data(), n_components_);
    // NumPy sums components in pairs only if their second moments are consecutive numbers, as for a single feature.
    if (d_ == 1) moments.second[0] = sum_in_pairs(moments.second.data(), n_components_);
    if (d_ > 1) pool(moments.second);
    for (Index k = 0; k < n_components_; ++k) {
        weights[k] /= sum_of_weights;
        move_to_mean(k, anchor + k * d_, moments, following, moments.second.data());
    }
    add_ridge(total, moments.second.data());
    update(kernels_, algebra_, {n_components_, d_, moments.mass.data(), moments.second.data()}, nullptr, listener_,
           following.covariances.data());
    return true;
}

// Computes the mean of a component, and moves its second moments from the reference point `anchor` to this mean.
void MStep::move_to_mean(Index k, const double* anchor, Moments& moments, Mixture& following, double* second) const {
    double *mean = following.means.data() + k * d_, *first = moments.first.data() + k * d_;
    add_squares(first, -1 / moments.mass[k], second);
    for (Index j = 0; j < d_; ++j) {
        mean[j] = anchor[j] + first[j] / moments.mass[k];
        first[j] -= moments.mass[k] * (mean[j] - anchor[j]);
    }
    add_squares(first, 1 / moments.mass[k], second);
}

// Applies the prior to the mean of a component, its second moments and its degrees of freedom, as
// `PosteriorObjective.constrain` in em/priors/posterior.py does. In a MAP estimate, every component gets all
// degrees of freedom of the prior, even if components share a covariance.
void MStep::apply_prior(Index k, double mass, double* mean, double* second) {
    const PackedPriorView& prior = *task_.prior;
    const double shrinkage = prior.mean_precision / prior.weight_unit, fraction = shrinkage / (mass + shrinkage);
    const Index size = algebra_.size(d_);
    double* offset = offset_.data();
    for (Index j = 0; j < d_; ++j) {
        const double result = mean[j] + fraction * (prior.mean[j] - mean[j]);
        offset[j] = mean[j] - result;
        mean[j] = result;
    }
    // The squared offsets are multiplied by the mass, instead of the offsets by the square root of the mass, because
    // the square root would be rounded differently for data in different units of measurement.
    add_squares(offset, mass, second);
    for (Index j = 0; j < d_; ++j) offset[j] = mean[j] - prior.mean[j];
    add_squares(offset, shrinkage, second);
    for (Index i = 0; i < size && (k == 0 || !algebra_.is_shared()); ++i) {
        second[i] += algebra_.features_per_variance(d_) * prior.scale[i] / prior.weight_unit;
    }
    const bool is_divided = algebra_.is_shared() && !prior.is_map;
    degrees_[k] += prior.dof / prior.weight_unit / (is_divided ? static_cast<double>(n_components_) : 1);
}

// Adds the second moments of all other components to the second moments of the first component.
void MStep::pool(Values& second) const {
    const Index size = algebra_.size(d_);
    for (Index i = size; i < n_components_ * size; ++i) second[i % size] += second[i];
}

// Adds `factor` times the square v v' of a vector v to the second moments of a component.
void MStep::add_squares(const double* vector, double factor, double* second) const {
    for (Index i = 0; i < d_; ++i) {
        const double scaled = vector[i] * factor;
        switch (algebra_.second()) {
            case Second::trace: *second += scaled * vector[i]; break;
            case Second::diagonal: second[i] += scaled * vector[i]; break;
            default:
                for (Index j = 0; j <= i; ++j) second[i * d_ + j] = second[j * d_ + i] += scaled * vector[j];
        }
    }
}

// Adds the ridge, multiplied by `mass`, to the second moments of a component.
void MStep::add_ridge(double mass, double* second) const {
    const Index stride = algebra_.variance_stride(d_);
    for (Index j = 0; j < d_; ++j) second[j * stride] += mass * task_.ridge[j];
}

}  // namespace gaussmix
