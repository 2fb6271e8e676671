#include "run_em.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>

#include "families/factorisation.hpp"
#include "incomplete.hpp"
#include "kernels/poll.hpp"
#include "passes.hpp"

namespace gaussmix {

namespace {

// smallest fraction of the total weight that a component may have in variational Bayes, where `min_weight` does not
// apply
constexpr double kLeastMass = 0x1p-900;

bool is_one(const RowWeightView& weight, Index n_rows) {
    for (Index row = 0; row < n_rows && weight.data != nullptr; ++row) {
        if (weight.data[row * weight.stride] != 1) return false;
    }
    return true;
}

// Replaces each centre by the mean of its rows, and sums the moments of these rows about this mean. `assignment`
// assigns rows to centres; if `assignment` is empty, each row belongs to its nearest centre. Returns false if a
// component has no rows, or if interrupted.
bool gather(const KernelTable& kernels, const EmView& task, const Execution& execution, Index n_components,
            const AssignmentView& assignment, double* centres, double* mass, double* first, double* second) {
    const Index d = task.rows.n_features;
    const Index n_factors = task.unit == nullptr ? 1 : d;
    Values factors(static_cast<std::size_t>(n_components * n_factors), 1.0);
    for (Index i = 0; i < n_components * d && task.unit != nullptr; ++i) factors[i] /= task.unit[i % d];
    const Values log_scale = room(n_components), start(centres, centres + n_components * d);
    double log_likelihood, n_distant, n_active;
    const auto sum_up = [&](Second kind, const double* anchor) {
        const bool is_assigned = assignment.labels != nullptr || assignment.responsibilities != nullptr;
        const Rule rule = is_assigned ? Rule::assignment : Rule::hard;
        const auto factor_shape = task.unit == nullptr ? FactorShape::spherical : FactorShape::diagonal;
        const Shape shape{n_components, d, factor_shape, false, rule, kind};
        const StepView pass{shape, task.rows, task.row_weight, assignment, {}};
        return step(kernels, pass, {log_scale.data(), start.data(), factors.data(), anchor}, execution,
                    {&log_likelihood, &n_distant, &n_active, mass, first, second});
    };
    if (!sum_up(Second::none, nullptr)) return false;
    for (Index i = 0; i < n_components * d; ++i) {
        if (!(mass[i / d] > 0)) return false;
        centres[i] = first[i] / mass[i / d];
    }
    return sum_up(task.algebra.second(), centres);
}

class Loop {
public:
    Loop(const KernelTable& kernels, const EmView& task, const Execution& execution)
        : kernels_(kernels),
          task_(task),
          algebra_(task.algebra),
          execution_(execution),
          listener_(execution.interrupt.listener()),
          n_components_(task.n_components),
          d_(task.rows.n_features),
          row_weight_(is_one(task.row_weight, task.rows.n_rows) ? RowWeightView{} : task.row_weight),
          n_covariances_(algebra_.is_shared() ? 1 : n_components_),
          has_one_matrix_(task.has_one_matrix()),
          log_scale_(room(n_components_ + task.has_background())),
          origin_means_(room(n_components_ * d_)),
          mass_(room(n_components_)),
          first_(room(n_components_ * d_)),
          second_(room((has_one_matrix_ ? 1 : n_components_) * algebra_.size(d_))),
          offsets_(room(n_components_ * d_)),
          degrees_(mass_) {
        if (task.prior != nullptr && !task.prior->is_map) {
            posterior_.emplace(kernels, *task.prior, algebra_, n_components_, d_);
        }
    }

    Mixture state(const MixtureView& mixture) const {
        Mixture result(algebra_, n_components_, d_, task_.has_background());
        result.read(mixture);
        return result;
    }

    bool factorise(Mixture& mixture) const { return gaussmix::factorise(kernels_, algebra_, d_, listener_, mixture); }

    // Performs an M-step from the responsibilities or labels in `assignment`. If `assignment` is empty, each row
    // belongs to the component with the nearest mean. Returns false if the result violates `Limits`, or if interrupted.
    bool begin(const AssignmentView& assignment, Mixture& following) {
        if (begin_with_total(assignment, following)) return true;
        Mixture nearby = following;
        second_.resize(static_cast<std::size_t>(n_components_ * algebra_.size(d_)));
        const double* covariances = assignment.responsibilities == nullptr ? nullptr : nearby.covariances.data();
        return gather(kernels_, task_, execution_, n_components_, assignment, nearby.means.data(), mass_.data(),
                      first_.data(), second_.data()) &&
               (has_one_matrix_ ? maximise_pooled(nearby, following)
                                : maximise(nearby.means.data(), covariances, following)) &&
               is_sound(following, nearby.means.data());
    }

    // Performs an E-step and an M-step, and writes the mean log-likelihood and the mean objective. Returns false if the
    // result violates `Limits`, or if interrupted.
    bool step(const Mixture& current, Mixture& following, double& log_likelihood, double& objective) {
        pool_moments(task_.has_one_matrix() && is_close(current));
        double total, n_distant = 0, n_active;
        const MomentsView sums{&total, &n_distant, &n_active, mass_.data(), first_.data(), second_.data()};
        if (!expect(current, current.means.data(), sums)) return false;
        log_likelihood = total / task_.total_weight;
        if (n_distant > 0 || !std::isfinite(log_likelihood)) return false;
        objective = log_likelihood;
        if (task_.prior != nullptr)
            objective += added_by_prior(current) / (task_.prior->weight_unit * task_.total_weight);
        const double* covariances = current.covariances.data();
        if (!maximise(current.means.data(), covariances, following)) return false;
        if (is_sound(following, has_one_matrix_ ? nullptr : current.means.data())) return true;
        if (task_.is_incomplete) return false;
        pool_moments(false);
        // The second attempt uses reference points near the new means, so that the moments lose no digits when they are
        // converted to moments about the new means.
        const Values nearby = following.means;
        // The pointers to the moments are taken again, because `pool_moments` may have moved the buffers.
        const MomentsView again{&total, &n_distant, &n_active, mass_.data(), first_.data(), second_.data()};
        return expect(current, nearby.data(), again) && maximise(nearby.data(), covariances, following) &&
               is_sound(following, nearby.data());
    }

private:
    // Performs the same M-step as `begin`, but in a single pass over the rows. Returns false if responsibilities or the
    // second moments of all rows are not given, if the result violates `Limits`, or if interrupted.
    bool begin_with_total(const AssignmentView& assignment, Mixture& following) {
        if (!has_one_matrix_ || task_.total.centre == nullptr || assignment.responsibilities == nullptr) return false;
        const Shape shape{n_components_, d_, FactorShape::spherical, false, Rule::assignment, Second::none};
        StepView pass{shape, task_.rows, row_weight_, assignment, {}};
        pass.rows.origin = task_.total.centre;
        double log_likelihood, n_distant, n_active;
        const MomentsView sums{&log_likelihood, &n_distant, &n_active, mass_.data(), first_.data(), nullptr};
        return gaussmix::step(kernels_, pass, {}, execution_, sums) && maximise(nullptr, nullptr, following) &&
               is_sound(following, nullptr);
    }

    bool is_sound(Mixture& mixture, const double* anchor) {
        if ((!posterior_ && is_noise(mixture)) || !factorise(mixture)) return false;
        const double result = loss(mixture, anchor);
        loss_.reset();
        if (anchor == nullptr) loss_ = result;
        return result <= task_.limits.loss;
    }

    // Selects how moments are summed: about the mean of all rows if `is_pooled` is true, and otherwise with separate
    // second moments for each component.
    void pool_moments(bool is_pooled) {
        has_one_matrix_ = is_pooled;
        second_.resize(static_cast<std::size_t>((is_pooled ? 1 : n_components_) * algebra_.size(d_)));
    }

    // Returns the term that the prior adds to the log-likelihood in the objective, in nats.
    double added_by_prior(const Mixture& mixture) const {
        if (posterior_) return -posterior_->divergence();
        return log_density(kernels_, *task_.prior, algebra_, n_components_, d_, mixture);
    }

    bool expect(const Mixture& mixture, const double* anchor, MomentsView out) {
        if (task_.is_incomplete) return expect_true_rows(mixture, out);
        const Shape shape{n_components_,   d_,         algebra_.factor_shape(),
                          has_one_matrix_, Rule::soft, has_one_matrix_ ? Second::none : algebra_.second()};
        StepView step_task{shape, task_.rows, row_weight_, {}, {}};
        if (posterior_) {
            posterior_->view_rows(mixture);
            std::copy_n(posterior_->log_weights(), n_components_, log_scale_.begin());
        } else {
            kernels_.log(mixture.weights.data(), static_cast<Index>(log_scale_.size()), log_scale_.data());
        }
        for (Index k = 0; k < n_components_; ++k) {
            log_scale_[k] += mixture.log_abs_det[n_covariances_ == 1 ? 0 : k] - 0.5 * static_cast<double>(d_) * kLog2Pi;
        }
        const double* means = mixture.means.data();
        if (has_one_matrix_) {
            step_task.rows.origin = task_.total.centre;
            for (Index i = 0; i < n_components_ * d_; ++i) origin_means_[i] = means[i] - task_.total.centre[i % d_];
            means = origin_means_.data();
        }
        ParametersView parameters{log_scale_.data(), means, one_each(mixture), has_one_matrix_ ? nullptr : anchor};
        if (task_.has_background()) parameters.log_background = log_scale_.back() - task_.log_background_volume;
        MomentsView sums = out;
        sums.background = &background_;
        return gaussmix::step(kernels_, step_task, parameters, execution_, sums);
    }

    // Sums the expected moments of incomplete rows about the means of the components.
    bool expect_true_rows(const Mixture& mixture, const MomentsView& out) {
        const bool is_full = algebra_.second() == Second::full;
        IncompleteView task{};
        task.shape = {n_components_, d_,         FactorShape::triangular,
                      false,         Rule::soft, is_full ? Second::full : Second::diagonal};
        task.rows = task_.rows;
        task.row_weight = task_.row_weight;
        task.error = task_.error;
        kernels_.log(mixture.weights.data(), n_components_, log_scale_.data());
        squares_.resize(static_cast<std::size_t>(is_full ? 0 : n_components_ * d_));
        MomentsView sums = out;
        if (!is_full) sums.second = squares_.data();
        double background;
        sums.background = &background;
        if (!patterns_) patterns_.emplace();
        const double* means = mixture.means.data();
        if (!step_incomplete(kernels_, task, {log_scale_.data(), means, triangles(mixture), means}, execution_, sums,
                             &*patterns_)) {
            return false;
        }
        const bool is_trace = algebra_.second() == Second::trace;
        for (Index k = 0; k < n_components_ && !is_full; ++k) {
            if (is_trace) out.second[k] = 0;
            for (Index j = 0; j < d_; ++j) {
                double& second = out.second[is_trace ? k : k * d_ + j];
                second = squares_[k * d_ + j] + (is_trace ? second : 0);
            }
        }
        return true;
    }

    // Returns triangular whitening factors, one for each component.
    const double* triangles(const Mixture& mixture) {
        if (algebra_.factor_shape() == FactorShape::triangular) return one_each(mixture);
        repeated_.assign(static_cast<std::size_t>(n_components_ * d_ * d_), 0.0);
        const Index size = algebra_.size(d_);
        for (Index k = 0; k < n_components_; ++k) {
            const double* factor = mixture.factors.data() + (n_covariances_ == 1 ? 0 : k * size);
            for (Index j = 0; j < d_; ++j) repeated_[(k * d_ + j) * d_ + j] = factor[size == 1 ? 0 : j];
        }
        return repeated_.data();
    }

    // Returns the whitening factors in the form that the kernels read: one factor for each component, or a single
    // factor if rows are whitened once for all components.
    const double* one_each(const Mixture& mixture) {
        if (n_covariances_ == n_components_ || has_one_matrix_) return mixture.factors.data();
        const Index size = algebra_.size(d_);
        repeated_.resize(static_cast<std::size_t>(n_components_ * size));
        for (Index i = 0; i < n_components_ * size; ++i) repeated_[i] = mixture.factors[i % size];
        return repeated_.data();
    }

    // Computes weights, means and covariances (Bishop 2006, equations 9.22, 9.17 and 9.19). `covariances` are the
    // covariances of the last EM step, or null.
    bool maximise(const double* anchor, const double* covariances, Mixture& following) {
        const PackedPriorView* prior = task_.prior;
        const double added = prior != nullptr && prior->is_map ? prior->weight_concentration / prior->weight_unit : 0;
        const double total = sum(mass_.data(), n_components_), all = total + static_cast<double>(n_components_) * added;
        for (Index k = 0; k < n_components_; ++k) {
            following.weights[k] = (mass_[k] + added) / all;
            if (!(mass_[k] / total > (posterior_ ? kLeastMass : task_.limits.min_weight))) return false;
        }
        if (task_.has_background()) {
            const double fraction = background_ / (background_ + total);
            for (double& weight : following.weights) weight *= 1 - fraction;
            following.weights.back() = fraction;
        }
        if (has_one_matrix_) std::copy(task_.total.second, task_.total.second + d_ * d_, second_.begin());
        for (Index k = 0; k < n_components_; ++k) {
            double* second = second_.data() + (has_one_matrix_ ? 0 : k * algebra_.size(d_));
            move_to_mean(k, has_one_matrix_ ? task_.total.centre : anchor + k * d_, following, second);
            degrees_[k] = mass_[k];
            if (prior != nullptr) apply_prior(k, following.means.data() + k * d_, second);
            add_ridge(degrees_[k], second);
        }
        if (algebra_.is_shared() && !has_one_matrix_) pool();
        const SecondSumsView scatter{n_components_, d_, degrees_.data(), second_.data()};
        update(kernels_, algebra_, scatter, covariances, listener_, following.covariances.data());
        return true;
    }

    // Makes the same M-step as `maximise` for components that share one full covariance, but from second moments about
    // points near the new means. The operations have the same order as in `initial_models` (em/step/maximise.py).
    bool maximise_pooled(const Mixture& nearby, Mixture& following) {
        Values& weights = following.weights;
        const double total = sum_in_pairs(mass_.data(), n_components_);
        for (Index k = 0; k < n_components_; ++k) {
            weights[k] = mass_[k] / total;
            if (!(weights[k] > task_.limits.min_weight)) return false;
        }
        const double whole = sum_in_pairs(weights.data(), n_components_);
        if (d_ == 1) second_[0] = sum_in_pairs(second_.data(), n_components_);
        if (d_ > 1) pool();
        for (Index k = 0; k < n_components_; ++k) {
            weights[k] /= whole;
            move_to_mean(k, nearby.means.data() + k * d_, following, second_.data());
        }
        add_ridge(total, second_.data());
        update(kernels_, algebra_, {n_components_, d_, mass_.data(), second_.data()}, nullptr, listener_,
               following.covariances.data());
        return true;
    }

    // Computes the mean of a component, and moves its second moments from the reference point `anchor` to this mean.
    void move_to_mean(Index k, const double* anchor, Mixture& following, double* second) {
        double *mean = following.means.data() + k * d_, *first = first_.data() + k * d_;
        add_squares(first, -1 / mass_[k], second);
        for (Index j = 0; j < d_; ++j) {
            mean[j] = anchor[j] + first[j] / mass_[k];
            first[j] -= mass_[k] * (mean[j] - anchor[j]);
        }
        add_squares(first, 1 / mass_[k], second);
    }

    // Applies the prior to the mean of a component, its second moments and its degrees of freedom, as
    // `PosteriorObjective.constrain` in em/priors/posterior.py does. In a MAP estimate, every component gets all
    // degrees of freedom of the prior, even if components share a covariance.
    void apply_prior(Index k, double* mean, double* second) {
        const PackedPriorView& prior = *task_.prior;
        const double shrinkage = prior.mean_precision / prior.weight_unit, part = shrinkage / (mass_[k] + shrinkage);
        const Index size = algebra_.size(d_);
        double* offset = offsets_.data() + k * d_;
        for (Index j = 0; j < d_; ++j) {
            const double result = mean[j] + part * (prior.mean[j] - mean[j]);
            offset[j] = mean[j] - result;
            mean[j] = result;
        }
        // The squared offsets are multiplied by the mass, instead of the offsets by the square root of the mass,
        // because the square root would be rounded differently for data in other units of measurement.
        add_squares(offset, mass_[k], second);
        for (Index j = 0; j < d_; ++j) offset[j] = mean[j] - prior.mean[j];
        add_squares(offset, shrinkage, second);
        const double times = algebra_.shape == Across::nothing ? static_cast<double>(d_) : 1;
        for (Index i = 0; i < size && (k == 0 || !algebra_.is_shared()); ++i) {
            second[i] += times * prior.scale[i] / prior.weight_unit;
        }
        const bool is_divided = algebra_.is_shared() && !prior.is_map;
        degrees_[k] += prior.dof / prior.weight_unit / (is_divided ? static_cast<double>(n_components_) : 1);
    }

    // Adds the second moments of all other components to the second moments of the first component.
    void pool() {
        const Index size = algebra_.size(d_);
        for (Index i = size; i < n_components_ * size; ++i) second_[i % size] += second_[i];
    }

    void add_squares(const double* vector, double factor, double* second) const {
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

    void add_ridge(double mass, double* second) const {
        const Index step = algebra_.second() == Second::full ? d_ + 1 : algebra_.second() == Second::diagonal ? 1 : 0;
        for (Index j = 0; j < d_; ++j) second[j * step] += mass * task_.ridge[j];
    }

    // Checks whether some feature without a ridge varies so little that the variance may be only the rounding error of
    // a mean.
    bool is_noise(const Mixture& mixture) const {
        const Index size = algebra_.size(d_), step = algebra_.second() == Second::full ? d_ + 1 : size == d_ ? 1 : 0;
        for (Index j = 0; j < d_; ++j) {
            if (task_.ridge[j] != 0) continue;
            double shared = 0;
            for (Index k = 0; k < n_components_; ++k) {
                const double deviation = task_.limits.noise * mixture.means[k * d_ + j], limit = deviation * deviation;
                shared += mixture.weights[k] * limit;
                if (!algebra_.is_shared() && mixture.covariances[k * size + j * step] <= limit) return true;
            }
            if (algebra_.is_shared() && mixture.covariances[j * step] <= shared) return true;
        }
        return false;
    }

    // Returns W_k (mean_k - anchor_k) for each component k, where W_k is a whitening factor and anchor_k is a reference
    // point. If `anchor` is null, the mean of all rows is the reference point.
    const Values& whiten_offsets(const Mixture& mixture, const double* anchor) {
        for (Index k = 0; k < n_components_; ++k) {
            const double* factor = mixture.factors.data() + (n_covariances_ == 1 ? 0 : k * algebra_.size(d_));
            const auto offset = [&](Index j) {
                return mixture.means[k * d_ + j] - (anchor == nullptr ? task_.total.centre[j] : anchor[k * d_ + j]);
            };
            for (Index i = 0; i < d_; ++i) {
                double& whitened = offsets_[k * d_ + i] = 0;
                switch (algebra_.factor_shape()) {
                    case FactorShape::spherical: whitened = offset(i) * factor[0]; break;
                    case FactorShape::diagonal: whitened = offset(i) * factor[i]; break;
                    default:
                        for (Index j = 0; j <= i; ++j) whitened += factor[i * d_ + j] * offset(j);
                }
            }
        }
        return offsets_;
    }

    double product(const Values& vectors, Index k, Index l) const {
        double total = 0;
        for (Index j = 0; j < d_; ++j) total += vectors[k * d_ + j] * vectors[l * d_ + j];
        return total;
    }

    // Returns the largest ratio of second moments about the anchors (reference points) to second moments about the
    // means; em/step/maximise.py explains this ratio.
    double loss(const Mixture& mixture, const double* anchor) {
        const Values& whitened = whiten_offsets(mixture, anchor);
        double largest = 0;
        baseline::Poll poll(listener_);
        for (Index k = 0; k < n_components_ && !poll.is_cancelled(n_components_ * d_); ++k) {
            double total = 0;
            if (!algebra_.is_shared()) total = product(whitened, k, k);
            for (Index l = 0; l < n_components_ && algebra_.is_shared(); ++l) {
                total += std::fabs(product(whitened, k, l)) * std::sqrt(mixture.weights[k] * mixture.weights[l]);
            }
            if (!(total <= largest)) largest = total;
        }
        return largest;
    }

    // Checks whether it is accurate enough to whiten each row once for all components and to sum moments about the mean
    // of all rows. `mixture` must be the result of the last EM step.
    bool is_close(const Mixture& mixture) {
        const Values& whitened = whiten_offsets(mixture, nullptr);
        double farthest = 0;
        for (Index k = 0; k < n_components_; ++k) farthest = std::max(farthest, product(whitened, k, k));
        const double squared = task_.limits.distance * task_.limits.distance;
        return farthest <= squared && (loss_ ? *loss_ : loss(mixture, nullptr)) <= task_.limits.loss;
    }

    const KernelTable& kernels_;
    const EmView& task_;
    const Algebra algebra_;
    const Execution execution_;
    const Listener listener_;
    const Index n_components_, d_;
    // `row_weight_.data` is null if all weights are 1, because without weights, the kernels compute only one logarithm
    // for many rows.
    const RowWeightView row_weight_;
    const Index n_covariances_;
    // whether each row is whitened once for all components, with moments about the mean of all rows
    bool has_one_matrix_;
    double background_ = 0;  // total responsibility of the noise component
    // result of `loss` at the last step, if the moments of this step were taken about the mean of all rows
    std::optional<double> loss_;
    Values log_scale_, origin_means_, mass_, first_, second_, offsets_, degrees_, repeated_, squares_;
    std::optional<Patterns> patterns_;
    std::optional<Approximation> posterior_;
};

}  // namespace

void Mixture::read(const MixtureView& from) {
    std::copy_n(from.weights, weights.size(), weights.begin());
    std::copy_n(from.means, means.size(), means.begin());
    std::copy_n(from.covariances, covariances.size(), covariances.begin());
}

void Mixture::write(const MixtureView& to) const {
    std::copy(weights.begin(), weights.end(), to.weights);
    std::copy(means.begin(), means.end(), to.means);
    std::copy(covariances.begin(), covariances.end(), to.covariances);
    std::copy(factors.begin(), factors.end(), to.factors);
    std::copy(log_abs_det.begin(), log_abs_det.end(), to.log_abs_det);
}

bool factorise(const KernelTable& kernels, const Algebra& algebra, Index d, Listener listener, Mixture& mixture) {
    return whiten(kernels, algebra.factor_shape(), static_cast<Index>(mixture.log_abs_det.size()), d,
                  mixture.covariances.data(), listener, mixture.factors.data(), mixture.log_abs_det.data());
}

bool sum_all(const KernelTable& kernels, const EmView& task, const Execution& execution, double* mean, double* second) {
    const std::int32_t label = 0;
    double mass;
    Values first = room(task.rows.n_features);
    std::fill_n(mean, task.rows.n_features, 0.0);
    return gather(kernels, task, execution, 1, {&label, nullptr, 0, 0}, mean, &mass, first.data(), second);
}

bool begin_em(const KernelTable& kernels, const EmView& task, const Execution& execution,
              const AssignmentView& assignment, MixtureView mixture) {
    Loop loop(kernels, task, execution);
    Mixture start = loop.state(mixture);
    if (!loop.begin(assignment, start)) return false;
    start.write(mixture);
    return !execution.interrupt.has_come();
}

bool run_em(const KernelTable& kernels, const EmView& task, const Execution& execution, MixtureView mixture,
            Values& log_likelihoods, Values* objectives) {
    Loop loop(kernels, task, execution);
    Mixture current = loop.state(mixture), following = current;
    if (!loop.factorise(current)) return !execution.interrupt.has_come();
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(task.seconds);
    double previous = task.previous_objective, log_likelihood = 0, objective = 0;
    while (loop.step(current, following, log_likelihood, objective)) {
        std::swap(current, following);
        log_likelihoods.push_back(log_likelihood);
        if (objectives != nullptr && task.prior != nullptr) objectives->push_back(objective);
        const bool has_converged = std::fabs(objective - std::exchange(previous, objective)) < task.tolerance;
        const bool is_last = static_cast<Index>(log_likelihoods.size()) >= task.max_steps;
        if (has_converged || is_last) break;
        // The clock is read after every EM step, because reading the clock takes only 20 ns.
        if (task.seconds < kInfinity && std::chrono::steady_clock::now() >= end) break;
    }
    current.write(mixture);
    return !execution.interrupt.has_come();
}

bool has_converged(const Values& log_likelihoods, double tolerance) {
    const std::size_t n = log_likelihoods.size();
    return n > 1 && std::fabs(log_likelihoods[n - 1] - log_likelihoods[n - 2]) < tolerance;
}

}  // namespace gaussmix
