#include "run_em.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "e_step.hpp"
#include "limits.hpp"
#include "passes.hpp"

namespace gaussmix {

namespace {

// Replaces each centre by the mean of its rows, and then sums the moments of these rows about the new centre.
// `assignment` assigns rows to centres; if `assignment` is empty, each row belongs to its nearest centre. Returns false
// if a centre has no rows, or if interrupted.
bool sum_about_means(const KernelTable& kernels, const EmView& task, const Execution& execution, Index n_components,
                     const AssignmentView& assignment, double* centres, double* mass, double* first, double* second) {
    const Index d = task.rows.n_features;
    const Index n_factors = task.unit == nullptr ? 1 : d;
    Values factors(n_components * n_factors, 1.0);
    for (Index i = 0; i < n_components * d && task.unit != nullptr; ++i) factors[i] /= task.unit[i % d];
    const Values log_scale = zeros(n_components), start(centres, centres + n_components * d);
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

// Performs single EM steps. Each step checks that its result does not violate `Limits`.
class EmSteps {
public:
    EmSteps(const KernelTable& kernels, const EmView& task, const Execution& execution)
        : kernels_(kernels),
          task_(task),
          execution_(execution),
          e_step_(kernels, task, execution),
          m_step_(kernels, task, execution.interrupt.listener()),
          checks_(task, execution.interrupt.listener()),
          moments_(task, task.can_use_total()) {}

    // Returns a copy of the parameters, with memory for the whitening factors.
    Mixture copy(const MixtureView& mixture) const {
        Mixture result(task_.algebra, task_.n_components, task_.rows.n_features, task_.has_noise());
        result.read(mixture.weights, mixture.means, mixture.covariances);
        return result;
    }

    // Performs an M-step from the responsibilities or labels in `assignment`. If `assignment` is empty, each row
    // belongs to the component with the nearest mean. Returns false if the result violates `Limits`, or if interrupted.
    bool begin(const AssignmentView& assignment, Mixture& following) {
        if (begin_with_total(assignment, following)) return true;
        Mixture nearby = following;
        const double* anchor = nearby.means.data();
        // Without responsibilities, `following` may contain only means, so there are no covariances to start from.
        const double* covariances = assignment.responsibilities == nullptr ? nullptr : nearby.covariances.data();
        moments_.allocate(task_, false);
        return sum_about_means(kernels_, task_, execution_, task_.n_components, assignment, nearby.means.data(),
                               moments_.mass.data(), moments_.first.data(), moments_.second.data()) &&
               (task_.can_use_total() ? m_step_.maximise_pooled(moments_, anchor, following)
                                      : m_step_.maximise(moments_, anchor, covariances, following)) &&
               factorise_and_check(following, anchor);
    }

    // Performs an E-step and an M-step, and writes the mean log-likelihood and the mean objective. Returns false if the
    // result violates `Limits`, or if interrupted.
    bool step(const Mixture& current, Mixture& following, double& log_likelihood, double& objective) {
        moments_.allocate(task_, task_.can_use_total() && checks_.can_use_common_centre(current));
        const double *means = current.means.data(), *covariances = current.covariances.data();
        if (!e_step_.expect(current, means, moments_)) return false;
        log_likelihood = moments_.log_likelihood / task_.total_weight;
        if (moments_.n_distant > 0 || !std::isfinite(log_likelihood)) return false;
        objective = log_likelihood;
        if (task_.prior != nullptr)
            objective += e_step_.added_by_prior(current) / (task_.prior->weight_unit * task_.total_weight);
        if (!m_step_.maximise(moments_, means, covariances, following)) return false;
        if (factorise_and_check(following, moments_.uses_total ? nullptr : means)) return true;
        if (task_.is_incomplete) return false;
        moments_.allocate(task_, false);
        // The second attempt uses reference points near the new means, so that the moments lose no digits when they are
        // converted to moments about the new means.
        const Values nearby = following.means;
        return e_step_.expect(current, nearby.data(), moments_) &&
               m_step_.maximise(moments_, nearby.data(), covariances, following) &&
               factorise_and_check(following, nearby.data());
    }

private:
    // Performs the same M-step as `begin`, but in a single pass over the rows. Returns false if responsibilities or the
    // second moments of all rows are not given, if the result violates `Limits`, or if interrupted.
    bool begin_with_total(const AssignmentView& assignment, Mixture& following) {
        if (!task_.can_use_total() || task_.total.centre == nullptr || assignment.responsibilities == nullptr) {
            return false;
        }
        const Index d = task_.rows.n_features;
        const Shape shape{task_.n_components, d, FactorShape::spherical, false, Rule::assignment, Second::none};
        StepView pass{shape, task_.rows, e_step_.row_weight(), assignment, {}};
        pass.rows.origin = task_.total.centre;
        return gaussmix::step(kernels_, pass, {}, execution_, moments_.view()) &&
               m_step_.maximise(moments_, nullptr, nullptr, following) && factorise_and_check(following, nullptr);
    }

    // Computes the whitening factors of the result of an M-step. Returns false if a covariance is singular, or if the
    // result violates `Limits`. `anchor` has the reference points of the moments, and is null for the mean of all rows.
    bool factorise_and_check(Mixture& mixture, const double* anchor) {
        return (task_.is_variational() || !checks_.has_rounding_variance(mixture)) &&
               factorise(kernels_, task_.algebra, task_.rows.n_features, execution_.interrupt.listener(), mixture) &&
               checks_.is_accurate(mixture, anchor);
    }

    const KernelTable& kernels_;
    const EmView& task_;
    const Execution execution_;
    EStep e_step_;
    MStep m_step_;
    LimitChecks checks_;
    Moments moments_;
};

}  // namespace

bool find_scatter(const KernelTable& kernels, const EmView& task, const Execution& execution, double* mean,
                  double* scatter) {
    const std::int32_t label = 0;
    double mass;
    Values first = zeros(task.rows.n_features);
    std::fill_n(mean, task.rows.n_features, 0.0);
    return sum_about_means(kernels, task, execution, 1, {&label, nullptr, 0, 0}, mean, &mass, first.data(), scatter);
}

bool find_total(const KernelTable& kernels, EmView& em, const Execution& execution, TotalMoments& memory) {
    if (!em.can_use_total() || em.total.centre != nullptr) return true;
    const Index d = em.rows.n_features;
    memory = {zeros(d), zeros(d * d)};
    em.total = {memory.centre.data(), memory.second.data()};
    return find_scatter(kernels, em, execution, memory.centre.data(), memory.second.data());
}

bool begin_em(const KernelTable& kernels, const EmView& task, const Execution& execution,
              const AssignmentView& assignment, MixtureView mixture) {
    EmSteps em(kernels, task, execution);
    Mixture start = em.copy(mixture);
    if (!em.begin(assignment, start)) return false;
    start.write(mixture);
    return !execution.interrupt.has_come();
}

bool run_em(const KernelTable& kernels, const EmView& task, const Execution& execution, MixtureView mixture,
            Values& log_likelihoods, Values* objectives) {
    EmSteps em(kernels, task, execution);
    Mixture current = em.copy(mixture), following = current;
    if (!factorise(kernels, task.algebra, task.rows.n_features, execution.interrupt.listener(), current))
        return !execution.interrupt.has_come();
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(task.seconds);
    double previous = task.previous_objective, log_likelihood = 0, objective = 0;
    while (em.step(current, following, log_likelihood, objective)) {
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

bool run_to_end(const KernelTable& kernels, EmView em, const Steps& steps, const Execution& execution, Mixture& mixture,
                Values& history) {
    history.clear();
    em.tolerance = steps.tolerance;
    em.max_steps = steps.limit;
    if (!run_em(kernels, em, execution, mixture.view(), history) || history.empty()) return false;
    return has_converged(history, steps.tolerance) || static_cast<Index>(history.size()) == steps.limit;
}

}  // namespace gaussmix
