#include "moves.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "families/factorisation.hpp"

namespace gaussmix {

namespace {

// A component is a neighbour of a changed component if its mean responsibility for the rows of the changed component
// exceeds kMinOverlap. Only the kNeighbours nearest neighbours take part in EM after a move.
constexpr double kMinOverlap = 0.02;
constexpr Index kNeighbours = 4;
// A component is split again if its mean has moved by this fraction of a standard deviation, or if a standard deviation
// or the weight of the component has changed by this fraction.
constexpr double kMaxShift = 0.03;
// Moves are hopeless if the predicted loss of the best move exceeds this number of nats per unit of the total weight of
// the components that the move changes.
constexpr double kMaxPredictedLoss = 0.3;
// maximum number of rows to which a split is fitted: the larger of kLocalRows and kLocalRowsPerFeature (n_features + 1)
constexpr Index kLocalRows = 200, kLocalRowsPerFeature = 12;

}  // namespace

Moves::Moves(const KernelTable& kernels, const AscentView& task, const Execution& execution, const Mixture& mixture)
    : kernels_(kernels),
      task_(task),
      execution_(execution),
      algebra_(task.em.algebra),
      is_full_(algebra_.second() == Second::full),
      is_free_(algebra_.is_free()),
      n_rows_(task.em.rows.n_rows),
      d_(task.em.rows.n_features),
      n_components_(task.em.n_components),
      rows_(static_cast<const double*>(task.em.rows.data)),
      weight_(task.em.row_weight.data),
      mixture_(mixture),
      scale_(zeros(d_)),
      row_fraction_(weight_, weight_ + n_rows_),
      random_(task.random) {
    for (double& fraction : row_fraction_) fraction /= task.em.total_weight;
    for (Index j = 0; j < d_ && task.mean_covariance != nullptr; ++j) {
        scale_[j] =
            std::sqrt(std::max(task.mean_covariance[is_full_ ? j * (d_ + 1) : j], std::numeric_limits<double>::min()));
    }
}

bool Moves::begin() {
    return factorise(kernels_, algebra_, d_, execution_.interrupt.listener(), mixture_) &&
           find_responsibilities(mixture_, responsibilities_);
}

void Moves::set_mixture(Mixture mixture, Responsibilities responsibilities) {
    mixture_ = std::move(mixture);
    responsibilities_ = std::move(responsibilities);
}

Index Moves::max_part_size() const { return is_free_ ? std::min(n_components_, kNeighbours + 3) : n_components_; }

void Moves::replace(const Indices& components, const Mixture& part, Mixture& to) const {
    if (static_cast<Index>(components.size()) == n_components_) {
        to = part;
        return;
    }
    const Index size = algebra_.size(d_);
    double weight = 0;
    for (const Index k : components) weight += to.weights[k];
    for (std::size_t i = 0; i < components.size(); ++i) {
        const Index k = components[i], from = static_cast<Index>(i);
        to.weights[k] = weight * part.weights[i];
        std::copy_n(part.means.begin() + from * d_, d_, to.means.begin() + k * d_);
        std::copy_n(part.covariances.begin() + from * size, size, to.covariances.begin() + k * size);
    }
}

bool Moves::find_responsibilities(const Mixture& mixture, Responsibilities& out) const {
    Values log_scale = zeros(n_components_);
    kernels_.log(mixture.weights.data(), n_components_, log_scale.data());
    add_peaks(algebra_, d_, mixture, n_components_, log_scale.data());
    Values results = evaluate(kernels_, algebra_, mixture, log_scale, task_.em.rows,
                              Output::responsibilities_and_log_density, execution_);
    if (results.empty()) return false;
    Values log_density(results.begin() + n_rows_ * n_components_, results.end());
    results.resize(n_rows_ * n_components_);
    out = {std::move(results),
           std::move(log_density),
           std::vector<Indices>(mixture.weights.size()),
           zeros(n_components_),
           zeros(n_components_),
           zeros(n_components_ * n_components_),
           0};
    Indices responsible;  // components that are responsible for the row
    for (Index row = 0; row < n_rows_; ++row) {
        const double *responsibilities = out.values.data() + row * n_components_, row_fraction = row_fraction_[row];
        responsible.clear();
        for (Index k = 0; k < n_components_; ++k) {
            out.n_rows[k] += responsibilities[k];
            out.mass[k] += row_fraction * responsibilities[k];
            if (responsibilities[k] > kMinResponsibility) responsible.push_back(k);
        }
        for (const Index k : responsible) {
            out.indices[k].push_back(row);
            for (const Index l : responsible)
                out.overlap[k * n_components_ + l] += row_fraction * responsibilities[k] * responsibilities[l];
        }
        out.log_likelihood += row_fraction * out.log_density[row];
    }
    return true;
}

Ranking Moves::rank() {
    update_splits();
    Indices components;
    for (const auto& [k, split] : splits_) {
        if (std::isfinite(split.gain)) components.push_back(k);
    }
    std::stable_sort(components.begin(), components.end(),
                     [&](Index a, Index b) { return splits_.at(a).gain > splits_.at(b).gain; });
    // Only the best splits are ranked, because a run tries far fewer moves than there are pairs of a removal and a
    // split.
    const auto limit = static_cast<std::size_t>(std::max<Index>(8, n_components_ / 2));
    if (components.size() > limit) components.resize(limit);
    best_split_ = components.empty() ? 0 : splits_.at(components[0]).gain;
    Ranking ranking(removals().rank(), components, splits_);
    if (const Ranking::Pair* best = ranking.best()) {
        double mass = 0;
        for (const Index k : best->touched()) mass += responsibilities_.mass[k];
        is_hopeless_ = best->gain < -kMaxPredictedLoss * mass;
        if (is_hopeless_) return {};
    }
    return ranking;
}

// Splits the components again that have changed since their last split.
void Moves::update_splits() {
    for (Index k = 0; k < n_components_ && !execution_.interrupt.has_come(); ++k) {
        // Changes of means and standard deviations are measured in standard deviations, and the change of the weight is
        // relative.
        Values parameters(mixture_.means.begin() + k * d_, mixture_.means.begin() + (k + 1) * d_), units;
        for (Index j = 0; j < d_; ++j) units.push_back(std::sqrt(variance(algebra_, d_, mixture_, k, j)));
        parameters.insert(parameters.end(), units.begin(), units.end());
        parameters.push_back(mixture_.weights[k]);
        units.insert(units.end(), parameters.begin() + d_, parameters.end());
        const auto cached = splits_.find(k);
        bool has_shifted = cached == splits_.end();
        for (std::size_t i = 0; i < parameters.size() && !has_shifted; ++i) {
            has_shifted = std::fabs(cached->second.parameters_at_split[i] - parameters[i]) >= kMaxShift * units[i];
        }
        if (has_shifted) splits_.insert_or_assign(k, split(k, std::move(parameters)));
    }
}

// Splits component k in two, and computes the gain from a part of its rows. `parameters` are stored in the result.
Split Moves::split(Index k, Values parameters) {
    const Values drawn = random_.draw(d_ + 2);
    const Indices& own = responsibilities_.indices[k];
    const Index limit = std::max(kLocalRows, kLocalRowsPerFeature * (d_ + 1)), n_own = static_cast<Index>(own.size());
    Indices indices;
    for (Index i = 0; i < limit && n_own > limit; ++i) {  // selects `limit` rows at equal steps
        const auto at = (static_cast<double>(i) + drawn[0]) * (static_cast<double>(n_own) / static_cast<double>(limit));
        indices.push_back(own[std::min(static_cast<Index>(at), n_own - 1)]);
    }
    if (n_own <= limit) indices = own;
    Split result{std::move(parameters), -kInfinity, {}, {}};
    if (static_cast<Index>(indices.size()) < kSplitRows * (algebra_.is_shared() ? 2 : d_ + 1)) return result;
    Values rows, weight;
    rows.reserve(indices.size() * static_cast<std::size_t>(d_));
    weight.reserve(indices.size());
    for (const Index row : indices) {
        rows.insert(rows.end(), rows_ + row * d_, rows_ + (row + 1) * d_);
        weight.push_back(row_fraction_[row] * responsibility(row, k));
    }
    normalise(weight);
    const GroupView group{static_cast<Index>(indices.size()), d_, rows.data(), weight.data()};
    const double mass = responsibilities_.mass[k];
    if (algebra_.is_shared()) {
        result.linear = SharedCovariance(kernels_, algebra_, d_, mixture_).split(group, mass, drawn.data() + 1);
        result.gain = result.linear.gain;
    } else {
        result.bisection = bisect(kernels_, group, is_full_, scale_.data(), {drawn.data() + 1}, execution_);
        result.gain = mass * result.bisection.gain;
    }
    // With p additional parameters, a split of n rows gains kOverfit p / n nats per row by chance. The gain on the
    // selected rows is lowered to the gain that is expected on all rows of the component.
    const Index n_of_covariance = algebra_.is_shared() ? 0 : is_full_ ? d_ * (d_ + 1) / 2 : d_;
    const auto n_parameters = static_cast<double>(1 + d_ + n_of_covariance);
    const double excess = 1 / static_cast<double>(indices.size()) - 1 / static_cast<double>(n_own);
    result.gain -= mass * kOverfit * n_parameters * excess;
    return result;
}

bool Moves::try_next(Ranking& ranking, const Indices& touched, Attempt& attempt) const {
    while (const auto pair = ranking.next(touched)) {
        if (execution_.interrupt.has_come()) return false;
        attempt.touched = pair->touched();
        attempt.part = make_part(with_neighbours(attempt.touched));
        if (perform_m_step(*pair, attempt)) return true;
    }
    return false;
}

// Performs an M-step after a move. Component `freed` passes its responsibilities to its heir or, without an heir, to
// all other components in proportion to their responsibilities. Then it takes over the second half of the component
// that is split. Returns false if the M-step fails, or if interrupted.
bool Moves::perform_m_step(const Ranking::Pair& pair, Attempt& attempt) const {
    Part& part = attempt.part;
    const auto count = static_cast<Index>(part.components.size()), n_rows = part.em.rows.n_rows;
    const auto index = [&](Index k) {
        return std::lower_bound(part.components.begin(), part.components.end(), k) - part.components.begin();
    };
    const Index freed = index(pair.removal.freed), split = index(pair.component);
    const Index heir = pair.removal.heir < 0 ? -1 : index(pair.removal.heir);
    const auto* rows = static_cast<const double*>(part.em.rows.data);
    const Split& split_of_component = splits_.at(pair.component);
    const Values first = algebra_.is_shared()
                             ? first_responsibility(split_of_component.linear, rows, n_rows)
                             : first_responsibility(kernels_, split_of_component.bisection, rows, n_rows, execution_);
    if (first.empty()) return false;
    for (Index row = 0; row < n_rows; ++row) {
        double* responsibilities = part.responsibilities.data() + row * count;
        if (heir < 0) {
            const double rest = 1 - responsibilities[freed];  // if this is negligible, all components get equal parts
            for (Index k = 0; k < count; ++k) {
                responsibilities[k] =
                    rest > kMinResponsibility ? responsibilities[k] / rest : 1 / static_cast<double>(count - 1);
            }
        } else {
            responsibilities[heir] += responsibilities[freed];
        }
        responsibilities[freed] = responsibilities[split] * (1 - first[row]);
        responsibilities[split] *= first[row];
    }
    attempt.mixture = part.mixture;
    return begin_em(kernels_, part.em, execution_, {nullptr, part.responsibilities.data(), count, 1},
                    attempt.mixture.view());
}

// Returns the components that a split-and-merge move changes, and the neighbours of these components. If the
// covariances of components depend on each other, all components are returned.
Indices Moves::with_neighbours(const Indices& touched) const {
    Indices all(n_components_);
    std::iota(all.begin(), all.end(), Index{0});
    if (!is_free_) return all;
    Values nearby = zeros(n_components_);
    for (const Index k : touched) {
        const double mass = std::max(responsibilities_.mass[k], std::numeric_limits<double>::min());
        for (Index l = 0; l < n_components_; ++l) {
            nearby[l] = std::max(nearby[l], responsibilities_.overlap[k * n_components_ + l] / mass);
        }
    }
    for (const Index k : touched) nearby[k] = kInfinity;
    std::stable_sort(all.begin(), all.end(), [&](Index a, Index b) { return nearby[a] > nearby[b]; });
    all.resize(std::min(all.size(), touched.size() + static_cast<std::size_t>(kNeighbours)));
    all.erase(std::remove_if(all.begin(), all.end(), [&](Index k) { return !(nearby[k] > kMinOverlap); }), all.end());
    std::sort(all.begin(), all.end());
    return all;
}

// Returns a `Part` with the given components of the mixture and the rows of these components.
Part Moves::make_part(Indices components) const {
    const auto count = static_cast<Index>(components.size());
    if (count == n_components_) {
        return {std::move(components),           {}, {}, responsibilities_.values, task_.em, mixture_, 1,
                responsibilities_.log_likelihood};
    }
    Part part{};
    part.mixture = select_components(mixture_, components);
    const double weight = sum(part.mixture.weights.data(), count);
    for (double& each : part.mixture.weights) each /= weight;

    std::vector<char> is_in_part(n_rows_);
    for (const Index k : components) {
        for (const Index row : responsibilities_.indices[k]) is_in_part[row] = 1;
    }
    Indices indices(n_rows_);
    Index n_rows = 0;
    for (Index row = 0; row < n_rows_; ++row) {  // no `if`, because the branch would be unpredictable
        indices[n_rows] = row;
        n_rows += is_in_part[row];
    }
    part.rows = zeros(n_rows * d_), part.weight = zeros(n_rows), part.responsibilities = zeros(n_rows * count);
    Values totals = zeros(n_rows), logarithms = zeros(n_rows);
    for (Index i = 0; i < n_rows; ++i) {
        double* responsibilities = part.responsibilities.data() + i * count;
        double total = 0;
        for (Index k = 0; k < count; ++k) total += responsibilities[k] = responsibility(indices[i], components[k]);
        for (Index k = 0; k < count; ++k) responsibilities[k] /= total;
        totals[i] = total;
        std::copy_n(rows_ + indices[i] * d_, d_, part.rows.data() + i * d_);
    }
    kernels_.log(totals.data(), n_rows, logarithms.data());
    double log_likelihood = 0;
    for (Index i = 0; i < n_rows; ++i) {
        part.weight[i] = weight_[indices[i]] * totals[i];
        const double fraction = row_fraction_[indices[i]] * totals[i];
        part.fraction += fraction;
        log_likelihood += fraction * (responsibilities_.log_density[indices[i]] + logarithms[i]);
    }
    part.log_likelihood = log_likelihood / part.fraction - log_of(kernels_, weight);
    part.em = task_.em;
    part.em.n_components = count;
    part.em.rows = plain_rows(part.rows.data(), n_rows, d_);
    part.em.row_weight = {part.weight.data(), 1};
    part.em.total_weight = sum(part.weight.data(), n_rows);
    part.components = std::move(components);
    return part;
}

}  // namespace gaussmix
