#include "kmeans.hpp"

#include <algorithm>
#include <chrono>

#include "passes.hpp"
#include "relocation.hpp"
#include "sample.hpp"

namespace gaussmix {

namespace {

// Parameters of unnormalised spherical components of variance 1. The log density of a row x about the centre c_k of
// such a component is -|x - c_k|^2 / 2.
struct UnitSpheres {
    explicit UnitSpheres(Index count) : log_scale(zeros(count)), factors(count, 1.0) {}
    ParametersView about(const double* centres) const { return {log_scale.data(), centres, factors.data(), nullptr}; }

    const Values log_scale, factors;
};

// Returns the first index at which the cumulative weight exceeds a given fraction of the total weight.
Index find_index(const Values& cumulative, double fraction) {
    const auto result = std::upper_bound(cumulative.begin(), cumulative.end(), fraction * cumulative.back());
    return std::min(result - cumulative.begin(), static_cast<Index>(cumulative.size()) - 1);
}

class Seeding {
public:
    Seeding(const KernelTable& kernels, const SeedingView& task, const Execution& execution)
        : kernels_(kernels),
          task_(task),
          execution_(execution),
          spheres_(task.n_candidates),
          centres_(zeros(task.n_candidates * task.rows.n_features)),
          log_densities_(zeros(task.rows.n_rows * task.n_candidates)),
          nearest_(zeros(task.rows.n_rows)),
          cumulative_(zeros(task.rows.n_rows)),
          candidates_(task.n_candidates) {}

    // Makes the row with the given index the first centre. Returns false if interrupted.
    bool begin(Index index) {
        candidates_[0] = index;
        if (!find_log_densities(1)) return false;
        for (Index row = 0; row < task_.rows.n_rows; ++row) nearest_[row] = -2.0 * log_densities_[row];
        return true;
    }

    // Adds the candidate centre that lowers the sum of squared distances most, or the first of several equally good
    // candidates.
    bool add(const double* uniform, Index& index) {
        const Index n_rows = task_.rows.n_rows, count = task_.n_candidates;
        accumulate([&](Index row) { return task_.row_weight[row] * nearest_[row]; });
        if (!(cumulative_.back() > 0)) accumulate([&](Index row) { return task_.row_weight[row]; });
        for (Index i = 0; i < count; ++i) candidates_[i] = find_index(cumulative_, uniform[i]);
        if (!find_log_densities(count)) return false;
        Values total = zeros(count);
        for (Index i = 0; i < count; ++i) {
            double sum = 0;
            for (Index row = 0; row < n_rows; ++row) sum += task_.row_weight[row] * distance(row, i);
            total[i] = sum;
        }
        const Index best = std::min_element(total.begin(), total.end()) - total.begin();
        for (Index row = 0; row < n_rows; ++row) nearest_[row] = distance(row, best);
        index = candidates_[best];
        return true;
    }

    template <class Weight>
    const Values& accumulate(Weight&& weight) {
        double total = 0;
        for (Index row = 0; row < task_.rows.n_rows; ++row) cumulative_[row] = total += weight(row);
        return cumulative_;
    }

private:
    // Returns the squared distance of a row from its nearest centre if the candidate becomes a centre.
    double distance(Index row, Index candidate) const {
        return std::min(-2.0 * log_densities_[row * task_.n_candidates + candidate], nearest_[row]);
    }

    // Computes the log densities, (n_rows, count), of all rows about the first `count` candidate centres (see
    // `UnitSpheres`).
    bool find_log_densities(Index count) {
        const Index d = task_.rows.n_features;
        const auto* rows = static_cast<const double*>(task_.rows.data);
        for (Index i = 0; i < count; ++i) {
            const double* row = rows + candidates_[i] * task_.rows.row_stride;
            for (Index j = 0; j < d; ++j) centres_[i * d + j] = row[j * task_.rows.column_stride];
        }
        const Shape shape{count, d, FactorShape::spherical, false, Rule::soft, Second::none};
        return evaluate(kernels_, shape, task_.rows, spheres_.about(centres_.data()), Output::weighted_log_density,
                        execution_, log_densities_.data());
    }

    const KernelTable& kernels_;
    const SeedingView& task_;
    const Execution execution_;
    const UnitSpheres spheres_;
    Values centres_, log_densities_;
    Values nearest_, cumulative_;  // squared distance of each row from its nearest centre; cumulative weights of rows
    std::vector<Index> candidates_;
};

}  // namespace

bool seed_centres(const KernelTable& kernels, const SeedingView& task, const Execution& execution, Index* indices) {
    Seeding seeding(kernels, task, execution);
    const Values& by_weight = seeding.accumulate([&](Index row) { return task.row_weight[row]; });
    indices[0] = find_index(by_weight, task.uniform[0]);
    if (!seeding.begin(indices[0])) return false;
    for (Index k = 1; k < task.n_components; ++k) {
        if (!seeding.add(task.uniform + 1 + (k - 1) * task.n_candidates, indices[k])) return false;
    }
    return true;
}

bool move_centres(const KernelTable& kernels, const CentresView& task, const Execution& execution, Index& n_left) {
    const Index count = task.n_components, d = task.rows.n_features;
    const Shape shape{count, d, FactorShape::spherical, false, Rule::hard, Second::none};
    const StepView pass{shape, task.rows, task.row_weight, {}, {}};
    const UnitSpheres spheres(count);
    Values mass = zeros(count), first = zeros(count * d);
    double log_likelihood, n_distant, n_active;
    const MomentsView sums{&log_likelihood, &n_distant, &n_active, mass.data(), first.data(), nullptr};
    const auto began = std::chrono::steady_clock::now();
    for (n_left = task.max_passes; n_left > 0; --n_left) {
        if (!step(kernels, pass, spheres.about(task.centres), execution, sums)) return false;
        if (std::any_of(mass.begin(), mass.end(), [](double rows) { return !(rows > 0); })) return true;
        double motion = 0;
        for (Index i = 0; i < count * d; ++i) {
            const double mean = first[i] / mass[i / d], shift = mean - task.centres[i];
            motion += shift * shift;
            task.centres[i] = mean;
        }
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - began;
        const bool is_late = elapsed.count() >= task.seconds;
        if (motion <= task.tolerance || is_late) n_left = 1;  // ends the loop with n_left = 0, as after the last pass
    }
    return true;
}

std::vector<std::int64_t> nearest_centres(const KernelTable& kernels, const RowsView& rows, Index n_centres,
                                          const double* centres, const Execution& execution) {
    const Shape shape{n_centres, rows.n_features, FactorShape::spherical, false, Rule::hard, Second::none};
    const UnitSpheres spheres(n_centres);
    std::vector<std::int64_t> labels(rows.n_rows);
    if (!evaluate(kernels, shape, rows, spheres.about(centres), Output::labels, execution, labels.data())) return {};
    return labels;
}

bool find_centres(const KernelTable& kernels, const EmView& em, const KMeansView& kmeans, const double* uniform,
                  const Execution& execution, double* centres) {
    const Index d = em.rows.n_features, n_rows = em.rows.n_rows, n_components = em.n_components;
    const auto* rows = static_cast<const double*>(em.rows.data);
    Values scaled, variances = zeros(d);
    if (em.unit != nullptr) {
        scaled.assign(rows, rows + n_rows * d);
        for (Index i = 0; i < n_rows * d; ++i) scaled[i] /= em.unit[i % d];
        rows = scaled.data();
    }
    const RowsView view = plain_rows(rows, n_rows, d);
    trimmed_variances(rows, em.row_weight.data, n_rows, d, 0, execution.interrupt.listener(), variances.data());
    std::vector<Index> indices(n_components);
    const SeedingView seeding{view, em.row_weight.data, n_components, kmeans.n_candidates, uniform};
    if (!seed_centres(kernels, seeding, execution, indices.data())) return false;
    for (Index i = 0; i < n_components * d; ++i) centres[i] = rows[indices[i / d] * d + i % d];
    const double mean = sum(variances.data(), d) / static_cast<double>(d);
    const CentresView task{view, em.row_weight, n_components, kmeans.tolerance * mean, kmeans.max_passes, centres};
    Index n_left = 0;
    if (!move_centres(kernels, task, execution, n_left)) return false;
    if (n_left == 0 && kmeans.relocates && !relocate_centres(kernels, task, execution)) return false;
    for (Index i = 0; i < n_components * d && em.unit != nullptr; ++i) centres[i] *= em.unit[i % d];
    return n_left == 0;
}

}  // namespace gaussmix
