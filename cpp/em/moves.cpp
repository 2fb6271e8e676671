#include "moves.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <numeric>

#include "families/factorisation.hpp"
#include "passes.hpp"

namespace gaussmix {

namespace {

constexpr double kLeastShare = 0.01, kNear = 0.02, kMoved = 0.03, kHopeless = 0.3;
constexpr Index kLocalRows = 200, kLocalRowsPerFeature = 12, kNeighbours = 4, kTries = 2;

}  // namespace

Places Ranking::Pair::touched() const {
    Places touched{removal.freed, component};
    if (removal.heir >= 0) touched.push_back(removal.heir);
    return touched;
}

Ranking::Ranking(const std::vector<Removal>& removals, const Places& components, const std::map<Index, Split>& splits) {
    for (const Removal& removal : removals) {
        for (const Index k : components) {
            if (k != removal.freed && k != removal.heir) {
                pairs_.push_back({removal.gain + splits.at(k).gain, removal, k});
            }
        }
    }
    const auto above = [](const Pair& a, const Pair& b) { return a.gain > b.gain; };
    std::stable_sort(pairs_.begin(), pairs_.end(), above);
}

std::optional<Ranking::Pair> Ranking::next(const Places& touched) {
    for (;; ++place_) {
        if (place_ == pairs_.size()) {
            if (later_.empty()) return std::nullopt;
            pairs_ = std::move(later_);
            later_.clear(), split_.clear(), removed_.clear();
            place_ = 0;
        }
        const Pair& pair = pairs_[place_];
        Index &n_splits = split_[pair.component], &n_removals = removed_[{pair.removal.freed, pair.removal.heir}];
        if (n_splits >= kTries || n_removals >= kTries) {
            later_.push_back(pair);
            continue;
        }
        const Places own = pair.touched();
        const auto is_taken = [&](Index k) { return std::find(own.begin(), own.end(), k) != own.end(); };
        if (std::any_of(touched.begin(), touched.end(), is_taken)) continue;
        ++n_splits, ++n_removals;
        return pairs_[place_++];
    }
}

Moves::Moves(const KernelTable& kernels, const ClimbView& task, const Execution& execution, const MixtureView& mixture,
             Index cursor)
    : kernels_(kernels),
      task_(task),
      execution_(execution),
      listener_(execution.interrupt.listener()),
      algebra_(task.em.algebra),
      is_full_(algebra_.second() == Second::full),
      is_free_(algebra_.volume != Across::equal && algebra_.shape != Across::equal &&
               algebra_.orientation != Across::equal),
      n_rows_(task.em.rows.n_rows),
      d_(task.em.rows.n_features),
      n_components_(task.em.n_components),
      rows_(static_cast<const double*>(task.em.rows.data)),
      weight_(task.em.row_weight.data),
      mixture_(algebra_, n_components_, d_),
      total_(task.em.total),
      scale_(room(d_)),
      row_share_(weight_, weight_ + n_rows_),
      cursor_(cursor) {
    mixture_.read(mixture);
    for (double& share : row_share_) share /= task.em.total_weight;
    for (Index j = 0; j < d_ && task.within != nullptr; ++j) {
        scale_[j] = std::sqrt(std::max(task.within[is_full_ ? j * (d_ + 1) : j], std::numeric_limits<double>::min()));
    }
}

bool Moves::begin() {
    if (algebra_.is_one_matrix() && total_.centre == nullptr) {
        centre_ = room(d_), second_ = room(d_ * d_);
        total_ = {centre_.data(), second_.data()};
        if (!sum_all(kernels_, task_.em, execution_, centre_.data(), second_.data())) return false;
    }
    if (task_.has_swaps) {
        reached_ = room(n_rows_);
        std::partial_sum(weight_, weight_ + n_rows_, reached_.begin());
    }
    EmView em = whole();
    em.tolerance = -1;
    em.max_steps = 1;
    Mixture probe = mixture_;
    Numbers course;
    return run_em(kernels_, em, execution_, probe.view(), course) && !course.empty() && look_first();
}

bool Moves::look_first() { return factorise(kernels_, algebra_, d_, listener_, mixture_) && look(mixture_, view_); }

void Moves::replace(Mixture mixture, View view) {
    mixture_ = std::move(mixture);
    view_ = std::move(view);
}

Index Moves::most_around() const { return is_free_ ? std::min(n_components_, kNeighbours + 3) : n_components_; }

EmView Moves::whole() const {
    EmView em = task_.em;
    em.total = total_;
    return em;
}

// Replaces components by those of a part.
void Moves::put(const Places& components, const Mixture& part, Mixture& to) const {
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

bool Moves::look(const Mixture& mixture, View& view) const {
    const Index size = algebra_.size(d_);
    Numbers log_scale = room(n_components_), factors;
    kernels_.log(mixture.weights.data(), n_components_, log_scale.data());
    for (Index k = 0; k < n_components_; ++k) {
        const Index own = algebra_.is_shared() ? 0 : k;
        log_scale[k] += mixture.log_abs_det[own] - 0.5 * static_cast<double>(d_) * kLog2Pi;
        const auto first = mixture.factors.begin() + own * size;
        factors.insert(factors.end(), first, first + size);
    }
    const Shape shape{n_components_, d_, algebra_.factor_shape(), false, Rule::soft, Second::none};
    const ParametersView parameters{log_scale.data(), mixture.means.data(), factors.data(), nullptr};
    Numbers both = room(n_rows_ * (n_components_ + 1));
    if (!evaluate(kernels_, shape, task_.em.rows, parameters, Output::responsibilities_and_log_density, execution_,
                  both.data())) {
        return false;
    }
    const auto log_density = both.begin() + n_rows_ * n_components_;
    view = {Numbers(),
            Numbers(log_density, both.end()),
            std::vector<Places>(mixture.weights.size()),
            room(n_components_),
            room(n_components_),
            room(n_components_ * n_components_),
            0};
    both.erase(log_density, both.end());
    view.shares = std::move(both);
    Places own;
    for (Index row = 0; row < n_rows_; ++row) {
        const double *shares = view.shares.data() + row * n_components_, of_row = row_share_[row];
        own.clear();
        for (Index k = 0; k < n_components_; ++k) {
            view.n_rows[k] += shares[k];
            view.mass[k] += of_row * shares[k];
            if (shares[k] > kLeastShare) own.push_back(k);
        }
        for (const Index k : own) {
            view.places[k].push_back(row);
            for (const Index l : own) view.overlap[k * n_components_ + l] += of_row * shares[k] * shares[l];
        }
        view.height += of_row * view.log_density[row];
    }
    return true;
}

const double* Moves::covariance(const Mixture& mixture, Index k) const {
    return mixture.covariances.data() + (algebra_.is_shared() ? 0 : k * algebra_.size(d_));
}
double Moves::variance(const Mixture& mixture, Index k, Index j) const {
    return covariance(mixture, k)[algebra_.size(d_) == 1 ? 0 : is_full_ ? j * (d_ + 1) : j];
}

Numbers Moves::draw(Index count) {
    Numbers drawn;
    for (Index i = 0; i < count; ++i, cursor_ = (cursor_ + 1) % task_.n_uniform) {
        drawn.push_back(task_.uniform[cursor_]);
    }
    return drawn;
}

Ranking Moves::ranked() {
    split_again();
    Places components;
    for (const auto& [k, split] : splits_) {
        if (std::isfinite(split.gain)) components.push_back(k);
    }
    std::stable_sort(components.begin(), components.end(),
                     [&](Index a, Index b) { return splits_.at(a).gain > splits_.at(b).gain; });
    const auto most = static_cast<std::size_t>(std::max<Index>(8, n_components_ / 2));
    if (components.size() > most) components.resize(most);
    best_split_ = components.empty() ? 0 : splits_.at(components[0]).gain;
    Ranking ranking(removals(), components, splits_);
    if (const Ranking::Pair* best = ranking.best()) {
        double mass = 0;
        for (const Index k : best->touched()) mass += view_.mass[k];
        is_hopeless_ = best->gain < -kHopeless * mass;
        if (is_hopeless_) return {};
    }
    return ranking;
}

// Finds new splits of the components that have moved since their last split.
void Moves::split_again() {
    for (Index k = 0; k < n_components_ && !execution_.interrupt.has_come(); ++k) {
        Numbers here(mixture_.means.begin() + k * d_, mixture_.means.begin() + (k + 1) * d_), unit;
        for (Index j = 0; j < d_; ++j) unit.push_back(std::sqrt(variance(mixture_, k, j)));
        here.insert(here.end(), unit.begin(), unit.end());
        here.push_back(mixture_.weights[k]);
        const auto known = splits_.find(k);
        bool has_moved = known == splits_.end();
        for (std::size_t i = 0; i < here.size() && !has_moved; ++i) {
            const double of = i + 1 == here.size() ? here[i] : unit[i % static_cast<std::size_t>(d_)];
            has_moved = std::fabs(known->second.place[i] - here[i]) >= kMoved * of;
        }
        if (has_moved) splits_.insert_or_assign(k, split(k, std::move(here)));
    }
}

Split Moves::split(Index k, Numbers place) {
    const Numbers drawn = draw(d_ + 2);
    const Places& own = view_.places[k];
    const Index most = std::max(kLocalRows, kLocalRowsPerFeature * (d_ + 1)), n_own = static_cast<Index>(own.size());
    Places places;
    for (Index i = 0; i < most && n_own > most; ++i) {  // at even distances
        const double at =
            (static_cast<double>(i) + drawn[0]) * (static_cast<double>(n_own) / static_cast<double>(most));
        places.push_back(own[std::min(static_cast<Index>(at), n_own - 1)]);
    }
    if (n_own <= most) places = own;
    Split found{std::move(place), -kInfinity, {}};
    if (static_cast<Index>(places.size()) < kSplitRows * (d_ + 1)) return found;
    Numbers rows, weight;
    rows.reserve(places.size() * static_cast<std::size_t>(d_));
    weight.reserve(places.size());
    for (const Index row : places) {
        rows.insert(rows.end(), rows_ + row * d_, rows_ + (row + 1) * d_);
        weight.push_back(row_share_[row] * share(view_, row, k));
    }
    const double total = sum(weight.data(), static_cast<Index>(weight.size()));
    for (double& each : weight) each /= total;
    found.halves = halved(kernels_, {static_cast<Index>(places.size()), d_, rows.data(), weight.data()}, is_full_,
                          scale_.data(), {drawn.data() + 1}, execution_);
    const Index more = 1 + d_ + (is_full_ ? d_ * (d_ + 1) / 2 : d_);
    const double of_few = 1 / static_cast<double>(places.size()) - 1 / static_cast<double>(n_own);
    found.gain = (found.halves.gain - kOverfit * static_cast<double>(more) * of_few) * view_.mass[k];
    return found;
}

// Sum of r log r over some rows.
template <class Share>
double Moves::entropy(const Places& places, Share&& of) const {
    Numbers shares(places.size()), logarithms(places.size());
    std::transform(places.begin(), places.end(), shares.begin(), of);
    kernels_.log(shares.data(), static_cast<Index>(shares.size()), logarithms.data());
    double total = 0;
    for (std::size_t i = 0; i < places.size(); ++i) total += row_share_[places[i]] * (shares[i] * logarithms[i]);
    return total;
}

double Moves::log(double x) const {
    double found;
    kernels_.log(&x, 1, &found);
    return found;
}

// The cheapest first. A merged pair has the moments of both.
std::vector<Removal> Moves::removals() const {
    Numbers alone = room(n_components_), apart(alone);
    for (Index row = 0; row < n_rows_; ++row) {
        const double height = row_share_[row] * view_.log_density[row];
        for (Index k = 0; k < n_components_; ++k) alone[k] += share(view_, row, k) * height;
    }
    for (Index k = 0; k < n_components_; ++k) {
        apart[k] = entropy(view_.places[k], [&](Index row) { return share(view_, row, k); });
    }
    std::vector<Removal> pairs, found;
    for (Index heir = 0; heir < n_components_; ++heir) {
        for (Index k = heir + 1; k < n_components_ && !execution_.interrupt.has_come(); ++k) {
            pairs.push_back({pooled(heir, k) - (alone[heir] + apart[heir]) - (alone[k] + apart[k]), k, heir});
        }
    }
    const auto above = [](const Removal& a, const Removal& b) { return a.gain > b.gain; };
    std::stable_sort(pairs.begin(), pairs.end(), above);
    pairs.resize(std::min(pairs.size(), static_cast<std::size_t>(2 * n_components_)));
    for (Removal& pair : pairs) {
        const auto both = [&](Index row) { return share(view_, row, pair.heir) + share(view_, row, pair.freed); };
        const Places &first = view_.places[pair.heir], &second = view_.places[pair.freed];
        Places places;
        places.reserve(first.size() + second.size());
        std::set_union(first.begin(), first.end(), second.begin(), second.end(), std::back_inserter(places));
        pair.gain -= entropy(places, both) - apart[pair.heir] - apart[pair.freed];
        found.push_back(pair);
    }
    for (Index k = 0; k < n_components_; ++k) {  // what the density of all loses with the component
        const Places& places = view_.places[k];
        Numbers rest(places.size()), logarithms(places.size());
        std::transform(places.begin(), places.end(), rest.begin(),
                       [&](Index row) { return std::max(1 - share(view_, row, k), 1e-30); });
        kernels_.log(rest.data(), static_cast<Index>(rest.size()), logarithms.data());
        double loss = 0;
        for (std::size_t i = 0; i < places.size(); ++i) loss += row_share_[places[i]] * logarithms[i];
        found.push_back({loss - log(1 - std::min(mixture_.weights[k], 1 - 1e-9)), k, -1});
    }
    std::stable_sort(found.begin(), found.end(), above);
    const auto most = static_cast<std::size_t>(std::max<Index>(16, n_components_));
    if (found.size() > most) found.resize(most);
    return found;
}

// Sum of r log pi N(x | mu, Sigma) of a pair that is merged into one component with the moments of both, nats. The sum
// of r is that of the rows, not the weight of the last step: or the unit would count in what a merger loses.
double Moves::pooled(Index k, Index l) const {
    const double total = mixture_.weights[k] + mixture_.weights[l], part = mixture_.weights[k] / total;
    const double *mean = mixture_.means.data() + k * d_, *other = mixture_.means.data() + l * d_;
    const auto between = [&](Index j) { return mean[j] - other[j]; };
    const auto d = static_cast<double>(d_);
    double log_det = 0;
    if (is_full_) {
        const double *first = covariance(mixture_, k), *second = covariance(mixture_, l);
        Numbers both = room(d_ * d_), factor(both);
        for (Index i = 0; i < d_ * d_; ++i) {
            both[i] =
                part * first[i] + (1 - part) * second[i] + part * (1 - part) * (between(i / d_) * between(i % d_));
        }
        if (!Factoriser(kernels_, d_)(both.data(), listener_, factor.data(), &log_det)) return -kInfinity;
        log_det *= -2;
    } else {
        Numbers both = room(d_), logarithms(both);
        for (Index j = 0; j < d_; ++j) {
            both[j] = part * variance(mixture_, k, j) + (1 - part) * variance(mixture_, l, j) +
                      part * (1 - part) * (between(j) * between(j));
        }
        if (algebra_.second() == Second::trace) both.assign(both.size(), sum(both.data(), d_) / d);
        kernels_.log(both.data(), d_, logarithms.data());
        log_det = sum(logarithms.data(), d_);
    }
    return (view_.mass[k] + view_.mass[l]) * (log(total) - 0.5 * (d * (kLog2Pi + 1) + log_det));
}

// The other component that has most of a component's rows.
Index Moves::nearest(Index k) const {
    const double* overlap = view_.overlap.data() + k * n_components_;
    Index found = k == 0 ? 1 : 0;
    for (Index l = 0; l < n_components_; ++l) {
        if (l != k && overlap[l] > overlap[found]) found = l;
    }
    return found;
}

Numbers Moves::merged(Index most, Index& count) const {
    Numbers shares = view_.shares;
    std::vector<char> is_taken(static_cast<std::size_t>(n_components_)), is_freed(is_taken);
    Index n_freed = 0;
    for (const Removal& removal : removals()) {
        const Index k = removal.freed, other = removal.heir < 0 ? nearest(k) : removal.heir;
        if (n_freed == most || is_taken[k] || is_taken[other]) continue;
        is_taken[k] = is_taken[other] = is_freed[k] = 1;
        ++n_freed;
        for (Index row = 0; row < n_rows_ && removal.heir >= 0; ++row) {
            shares[row * n_components_ + other] += shares[row * n_components_ + k];
        }
    }
    count = n_components_ - n_freed;
    Numbers left = room(n_rows_ * count);
    for (Index row = 0; row < n_rows_; ++row) {
        double* own = left.data() + row * count;
        double total = 0;
        for (Index k = 0, to = 0; k < n_components_; ++k) {
            if (!is_freed[k]) total += own[to++] = shares[row * n_components_ + k];
        }
        for (Index k = 0; k < count; ++k)
            own[k] = total > kLeastShare ? own[k] / total : 1 / static_cast<double>(count);
    }
    return left;
}

void Moves::swap(Moved& moved) {
    const Numbers drawn = draw(2);
    const auto k = static_cast<Index>(drawn[0] * static_cast<double>(n_components_));
    const Index row = std::min<Index>(
        std::upper_bound(reached_.begin(), reached_.end(), drawn[1] * reached_.back()) - reached_.begin(), n_rows_ - 1);
    moved.cursor = cursor_;
    moved.part = whole_part();
    moved.is_vain = share(view_, row, k) > 0.5;
    if (moved.is_vain) return;
    moved.mixture = mixture_;
    std::copy_n(rows_ + row * d_, d_, moved.mixture.means.begin() + k * d_);
    std::fill(moved.mixture.weights.begin(), moved.mixture.weights.end(), 1 / static_cast<double>(n_components_));
}

bool Moves::move(Ranking& ranking, const Places& touched, Moved& moved) const {
    while (const auto pair = ranking.next(touched)) {
        if (execution_.interrupt.has_come()) return false;
        moved.touched = pair->touched();
        moved.part = part_of(around(moved.touched));
        moved.cursor = cursor_;
        if (make(*pair, moved)) return true;
    }
    return false;
}

bool Moves::make(const Ranking::Pair& pair, Moved& moved) const {
    Part& part = moved.part;
    const auto count = static_cast<Index>(part.components.size()), n_rows = part.em.rows.n_rows;
    const auto place = [&](Index k) {
        return std::lower_bound(part.components.begin(), part.components.end(), k) - part.components.begin();
    };
    const Index freed = place(pair.removal.freed), split = place(pair.component);
    const Index heir = pair.removal.heir < 0 ? -1 : place(pair.removal.heir);
    const auto* rows = static_cast<const double*>(part.em.rows.data);
    const Numbers first = first_share(kernels_, splits_.at(pair.component).halves, rows, n_rows, execution_);
    if (first.empty()) return false;
    for (Index row = 0; row < n_rows; ++row) {
        double* shares = part.shares.data() + row * count;
        if (heir < 0) {
            const double rest = 1 - shares[freed];
            for (Index k = 0; k < count; ++k) {
                shares[k] = rest > kLeastShare ? shares[k] / rest : 1 / static_cast<double>(count - 1);
            }
        } else {
            shares[heir] += shares[freed];
        }
        shares[freed] = shares[split] * (1 - first[row]);
        shares[split] *= first[row];
    }
    moved.mixture = part.mixture;
    bool is_found = false;
    return begin_em(kernels_, part.em, execution_, {nullptr, part.shares.data(), count, 1}, moved.mixture.view(),
                    is_found) &&
           is_found;
}

// The components that a move touches and near ones; all if covariances depend on each other.
Places Moves::around(const Places& touched) const {
    Places all(static_cast<std::size_t>(n_components_));
    std::iota(all.begin(), all.end(), Index{0});
    if (!is_free_) return all;
    Numbers near = room(n_components_);
    for (const Index k : touched) {
        const double mass = std::max(view_.mass[k], std::numeric_limits<double>::min());
        for (Index l = 0; l < n_components_; ++l) {
            near[l] = std::max(near[l], view_.overlap[k * n_components_ + l] / mass);
        }
    }
    for (const Index k : touched) near[k] = kInfinity;
    std::stable_sort(all.begin(), all.end(), [&](Index a, Index b) { return near[a] > near[b]; });
    all.resize(std::min(all.size(), touched.size() + static_cast<std::size_t>(kNeighbours)));
    all.erase(std::remove_if(all.begin(), all.end(), [&](Index k) { return !(near[k] > kNear); }), all.end());
    std::sort(all.begin(), all.end());
    return all;
}

// The whole mixture and all rows, without shares.
Part Moves::whole_part() const {
    Part part{};
    part.components.resize(static_cast<std::size_t>(n_components_));
    std::iota(part.components.begin(), part.components.end(), Index{0});
    part.em = whole();
    part.mixture = mixture_;
    part.share = 1;
    part.log_likelihood = view_.height;
    return part;
}

// Restricts the mixture to some components and their rows.
Part Moves::part_of(Places components) const {
    const auto count = static_cast<Index>(components.size());
    if (count == n_components_) {
        Part part = whole_part();
        part.shares = view_.shares;
        return part;
    }
    const Index size = algebra_.size(d_);
    Part part{};
    part.mixture = Mixture(algebra_, count, d_);
    double weight = 0;
    for (Index i = 0; i < count; ++i) {
        const Index k = components[i];
        weight += mixture_.weights[k];
        part.mixture.weights[i] = mixture_.weights[k];
        std::copy_n(mixture_.means.begin() + k * d_, d_, part.mixture.means.begin() + i * d_);
        std::copy_n(mixture_.covariances.begin() + k * size, size, part.mixture.covariances.begin() + i * size);
    }
    for (double& each : part.mixture.weights) each /= weight;

    std::vector<char> is_there(static_cast<std::size_t>(n_rows_));
    for (const Index k : components) {
        for (const Index row : view_.places[k]) is_there[row] = 1;
    }
    Places places(static_cast<std::size_t>(n_rows_));
    Index n_rows = 0;
    for (Index row = 0; row < n_rows_; ++row) {  // without a branch, which nobody could foresee
        places[n_rows] = row;
        n_rows += is_there[row];
    }
    part.rows = room(n_rows * d_), part.weight = room(n_rows), part.shares = room(n_rows * count);
    Numbers totals = room(n_rows), logarithms = room(n_rows);
    for (Index i = 0; i < n_rows; ++i) {
        double* shares = part.shares.data() + i * count;
        double total = 0;
        for (Index k = 0; k < count; ++k) total += shares[k] = share(view_, places[i], components[k]);
        for (Index k = 0; k < count; ++k) shares[k] /= total;
        totals[i] = total;
        std::copy_n(rows_ + places[i] * d_, d_, part.rows.data() + i * d_);
    }
    kernels_.log(totals.data(), n_rows, logarithms.data());
    double height = 0;
    for (Index i = 0; i < n_rows; ++i) {
        part.weight[i] = weight_[places[i]] * totals[i];
        const double own = row_share_[places[i]] * totals[i];
        part.share += own;
        height += own * (view_.log_density[places[i]] + logarithms[i]);
    }
    part.log_likelihood = height / part.share - log(weight);
    part.em = whole();
    part.em.n_components = count;
    part.em.rows = plain_rows(part.rows.data(), n_rows, d_);
    part.em.row_weight = {part.weight.data(), 1};
    part.em.total_weight = sum(part.weight.data(), n_rows);
    part.components = std::move(components);
    return part;
}

}  // namespace gaussmix
