#include "race.hpp"

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

#include "kernels/poll.hpp"

namespace gaussmix {

namespace {

constexpr double kWorkOfUpdate = 1e5;  // multiply-adds of an M-step that looks for axes, about

struct Run {
    const Mixture* beginning;
    Mixture now;
    Numbers course;         // the log-likelihood before each step
    bool is_stuck = false;  // a component has lost its rows or collapsed
    bool has_settled = false;

    bool goes_on() const { return !is_stuck && !has_settled; }
    double last() const { return course.back(); }
    double recent_gain() const { return last() - course[(course.size() - 1) / 2]; }
};

class Race {
public:
    Race(const KernelTable& kernels, const EmView& task, const RaceView& rules, const Execution& execution)
        : kernels_(kernels), task_(task), rules_(rules), execution_(execution), d_(task.rows.n_features) {}

    // Makes steps of all runs that go on. False where a step is unusual, and if interrupted.
    bool go_on(std::vector<Run>& runs, Index n_steps) const {
        std::vector<Run*> going;
        for (Run& run : runs) {
            if (run.goes_on()) going.push_back(&run);
        }
        EmView task = task_;
        task.max_steps = n_steps;
        const Shape shape{task.n_components, d_, task.algebra.factor_shape(), false, Rule::soft, task.algebra.second()};
        const double work = static_cast<double>(n_steps) *
                            (work_per_row(shape) * static_cast<double>(task.rows.n_rows) + kWorkOfUpdate);
        std::vector<char> is_usual(going.size(), true);
        const auto advance_one = [&](Index i, const Execution& alone) {
            const auto place = static_cast<std::size_t>(i);
            try {
                is_usual[place] = advance(task, alone, *going[place]);
            } catch (const std::bad_alloc&) {
                is_usual[place] = false;
            }
        };
        return process_each(static_cast<Index>(going.size()), work, execution_, advance_one) &&
               std::all_of(is_usual.begin(), is_usual.end(), [](char usual) { return usual != 0; });
    }

    // The highest first, then those that may still end above it and do not follow another one.
    void drop(std::vector<Run>& runs) const {
        const auto height = [&](const Run& run) { return std::nearbyint(run.last() / rules_.rounding); };
        std::stable_sort(runs.begin(), runs.end(), [&](const Run& one, const Run& other) {
            if (one.is_stuck || other.is_stuck) return !one.is_stuck;
            return height(one) > height(other);
        });
        std::vector<Run> kept;
        for (Run& run : runs) {
            const bool is_hopeless =
                !kept.empty() && (!run.goes_on() || run.last() + rules_.hope * run.recent_gain() < kept.front().last());
            const auto leads_to_the_same = [&](const Run& other) { return gap(run.now, other.now) <= rules_.same; };
            if (is_hopeless || std::any_of(kept.begin(), kept.end(), leads_to_the_same)) continue;
            kept.push_back(std::move(run));
        }
        runs = std::move(kept);
    }

private:
    bool advance(const EmView& task, const Execution& alone, Run& run) const {
        Numbers course;
        if (!run_em(kernels_, task, alone, run.now.view(), course, &run.is_stuck)) return false;
        run.has_settled = has_settled(course, task.tolerance);
        const bool is_usual = run.is_stuck || run.has_settled || static_cast<Index>(course.size()) == task.max_steps;
        run.course.insert(run.course.end(), course.begin(), course.end());
        return is_usual;
    }

    // `_gaps` of em/best_of.py: the weighted mean of half of Jeffreys' divergence of components.
    double gap(const Mixture& one, const Mixture& other) const {
        const Index size = d_ * d_;
        double total = 0;
        for (Index k = 0; k < task_.n_components; ++k) {
            const double weight = 0.5 * (one.weights[k] + other.weights[k]);
            const double apart = one_way(one, other, k * size, k * d_) + one_way(other, one, k * size, k * d_);
            total += 0.25 * weight * (apart - 2 * static_cast<double>(d_));
        }
        return total;
    }

    // tr(P S) + |W (m - n)|^2 of a component with P = W'W and mean m, and another with covariance S and mean n.
    double one_way(const Mixture& one, const Mixture& other, Index matrix, Index mean) const {
        const double* factor = one.factors.data() + matrix;
        const double* covariance = other.covariances.data() + matrix;
        double total = 0;
        for (Index i = 0; i < d_; ++i) {
            double offset = 0;
            for (Index j = 0; j <= i; ++j) {
                offset += factor[i * d_ + j] * (one.means[mean + j] - other.means[mean + j]);
                double product = 0;
                for (Index l = 0; l <= i; ++l) product += covariance[j * d_ + l] * factor[i * d_ + l];
                total += factor[i * d_ + j] * product;
            }
            total += offset * offset;
        }
        return total;
    }

    const KernelTable& kernels_;
    const EmView& task_;
    const RaceView& rules_;
    const Execution& execution_;
    const Index d_;
};

}  // namespace

bool race(const KernelTable& kernels, const EmView& task, const RaceView& rules, const Execution& execution,
          std::vector<Mixture> beginnings, MixtureView best) {
    EmView of_run = task;
    of_run.tolerance = rules.tolerance;
    of_run.seconds = kInfinity;
    const Race course(kernels, of_run, rules, execution);
    std::vector<Run> left;
    for (Mixture& beginning : beginnings) left.push_back({&beginning, beginning, {}});
    Index before = 0;
    for (Index until = rules.first_steps; left.size() > 1 && until <= rules.most_steps; until *= 2) {
        if (!course.go_on(left, until - std::exchange(before, until))) return false;
        course.drop(left);
    }
    (left.front().is_stuck ? *left.front().beginning : left.front().now).write(best);
    return true;
}

}  // namespace gaussmix
