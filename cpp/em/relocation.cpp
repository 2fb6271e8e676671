#include "relocation.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

namespace gaussmix {

namespace {

constexpr Index kMaxRelocationRounds = 10;
// A cluster is divided only if it has at least this number of distinct rows, and at least as many rows as features.
// With fewer rows than features, the halves of any cluster are separate.
constexpr Index kMinDividedRows = 20;
constexpr double kMinFraction = 0.1;  // minimum fraction of a cluster's weight in each half
// The halves are found from a part of the rows, whose size is this number, or the number of features if that is larger.
constexpr Index kMaxDividedRows = 50;
constexpr int kBisections = 3;
// The halves of a cluster are separate if at most this fraction of the variance along the line through their means lies
// within the halves. If a normal distribution is divided at its mean, the fraction is 1 - 2/pi = 0.36. Two equal normal
// distributions have a fraction of 0.15 if their means are 4.8 standard deviations apart.
constexpr double kMaxVarianceWithin = 0.15;
// Dividing a cluster must lower the sum of squares by more than this multiple of what merging two clusters adds.
constexpr double kMinRatio = 2;

struct Clusters {
    std::vector<Indices> members;  // rows of each cluster
    Values mass;                   // total weight of each cluster
};

struct Half {
    double weight;
    Values mean;
};

struct ClusterDivision {  // a cluster whose halves are separate
    Index cluster;
    double gain;  // decrease of the sum of squares
    Half lower, upper;
};

struct ClusterMerge {  // two clusters that are near each other
    Index one, other;
    double loss;  // increase of the sum of squares
};

class Relocation {
public:
    Relocation(const KernelTable& kernels, const CentresView& task, const Execution& execution)
        : kernels_(kernels),
          task_(task),
          execution_(execution),
          rows_(static_cast<const double*>(task.rows.data)),
          weight_(task.row_weight.data),
          d_(task.rows.n_features),
          n_clusters_(task.n_components) {}

    // Relocates centres and repeats k-means, until the sum of squares does not decrease any more or the time is over.
    // Returns false after an interrupt.
    bool run() {
        if (n_clusters_ < 3 || !(task_.seconds > 0)) return true;
        Values centres(task_.centres, task_.centres + n_clusters_ * d_);
        Clusters clusters = clusters_about(centres.data());
        for (Index round = 0; round < kMaxRelocationRounds && seconds_left() > 0 && relocate(clusters, centres);
             ++round) {
            CentresView moved = task_;
            moved.centres = centres.data();
            moved.seconds = seconds_left();
            Index n_left = 0;
            if (!move_centres(kernels_, moved, execution_, n_left) || n_left > 0) break;
            Clusters following = clusters_about(centres.data());
            const double before = sum_of_squares(clusters, task_.centres);
            if (execution_.interrupt.has_come() || !(sum_of_squares(following, centres.data()) < before)) break;
            std::copy(centres.begin(), centres.end(), task_.centres);
            clusters = std::move(following);
        }
        return !execution_.interrupt.has_come();
    }

private:
    double seconds_left() const {
        const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - began_;
        return task_.seconds - elapsed.count();
    }

    // Assigns each row to its nearest centre. After an interrupt, all clusters are empty.
    Clusters clusters_about(const double* centres) const {
        const auto labels = nearest_centres(kernels_, task_.rows, n_clusters_, centres, execution_);
        Clusters result{std::vector<Indices>(n_clusters_), zeros(n_clusters_)};
        for (Index row = 0; row < static_cast<Index>(labels.size()); ++row) {
            result.members[labels[row]].push_back(row);
            result.mass[labels[row]] += weight_[row];
        }
        return result;
    }

    // Returns the weighted sum of the squared distances of all rows from the centres of their clusters.
    double sum_of_squares(const Clusters& clusters, const double* centres) const {
        double total = 0;
        for (Index k = 0; k < n_clusters_; ++k, centres += d_) {
            for (const Index row : clusters.members[k]) {
                const double* x = rows_ + row * d_;
                for (Index j = 0; j < d_; ++j) total += weight_[row] * (x[j] - centres[j]) * (x[j] - centres[j]);
            }
        }
        return total;
    }

    // Moves one centre of each merge to a cluster that is divided. Returns false if no centre is moved.
    bool relocate(const Clusters& clusters, Values& centres) const {
        std::vector<ClusterDivision> divisions;
        std::vector<bool> is_divided(n_clusters_);
        for (Index k = 0; k < n_clusters_ && !execution_.interrupt.has_come(); ++k) {
            auto division = divide(clusters, k);
            if (!division) continue;
            divisions.push_back(std::move(*division));
            is_divided[k] = true;
        }
        if (divisions.empty()) return false;
        std::stable_sort(divisions.begin(), divisions.end(), [](auto& a, auto& b) { return a.gain > b.gain; });
        std::size_t n_moved = 0;
        std::vector<bool> is_merged(n_clusters_);
        for (const auto& [one, other, loss] : merges(clusters.mass, is_divided)) {
            if (n_moved == divisions.size() || !(divisions[n_moved].gain > kMinRatio * loss)) break;
            if (is_merged[one] || is_merged[other]) continue;
            is_merged[one] = is_merged[other] = true;
            const ClusterDivision& division = divisions[n_moved++];
            const double fraction = clusters.mass[other] / (clusters.mass[one] + clusters.mass[other]);
            for (Index j = 0; j < d_; ++j) {
                centres[one * d_ + j] += fraction * (centres[other * d_ + j] - centres[one * d_ + j]);
                centres[other * d_ + j] = division.lower.mean[j];
                centres[division.cluster * d_ + j] = division.upper.mean[j];
            }
        }
        return n_moved > 0;
    }

    // Returns, for each cluster that is not divided, the merge with another such cluster that increases the sum of
    // squares least. The merges are in ascending order of these increases.
    std::vector<ClusterMerge> merges(const Values& mass, const std::vector<bool>& is_divided) const {
        std::vector<ClusterMerge> result;
        for (Index k = 0; k < n_clusters_ && !execution_.interrupt.has_come(); ++k) {
            ClusterMerge best{k, -1, kInfinity};
            for (Index l = 0; l < n_clusters_ && !is_divided[k]; ++l) {
                if (l == k || is_divided[l]) continue;
                double distance = 0;
                for (Index j = 0; j < d_; ++j) {
                    const double difference = task_.centres[k * d_ + j] - task_.centres[l * d_ + j];
                    distance += difference * difference;
                }
                const double loss = mass[k] * mass[l] / (mass[k] + mass[l]) * distance;
                if (loss < best.loss) best = {k, l, loss};
            }
            if (best.other >= 0) result.push_back(best);
        }
        std::stable_sort(result.begin(), result.end(), [](auto& a, auto& b) { return a.loss < b.loss; });
        return result;
    }

    // Divides a cluster into two halves: first at the mean of the feature with the largest variance, and then by
    // k-means with two centres. Returns nothing if the halves are not separate.
    std::optional<ClusterDivision> divide(const Clusters& clusters, Index k) const {
        const Indices& all = clusters.members[k];
        const auto n_all = static_cast<Index>(all.size()), n_rows = std::min(n_all, std::max(kMaxDividedRows, d_));
        if (n_all < std::max(kMinDividedRows, d_)) return std::nullopt;
        Indices members(n_rows);
        for (Index n = 0; n < n_rows; ++n) members[n] = all[n * n_all / n_rows];
        const Half whole = half(members, Values(n_rows), false);  // all rows, because no position is positive
        const double mass = whole.weight;
        Values spread = zeros(d_);
        for (const Index row : members) {
            for (Index j = 0; j < d_; ++j) {
                const double deviation = rows_[row * d_ + j] - whole.mean[j];
                spread[j] += weight_[row] * deviation * deviation;
            }
        }
        const Index widest = argmax(spread);
        // position of each row on the line from the lower mean (at -1/2) to the upper mean (at 1/2)
        Values position(n_rows);
        for (Index n = 0; n < n_rows; ++n) position[n] = rows_[members[n] * d_ + widest] - whole.mean[widest];
        Half lower, upper;
        double distance = 0;  // squared distance of the means
        for (int i = 0; i < kBisections; ++i) {
            lower = half(members, position, false), upper = half(members, position, true);
            if (!(std::min(lower.weight, upper.weight) > kMinFraction * mass)) return std::nullopt;
            Values axis(d_), middle(d_);
            for (Index j = 0; j < d_; ++j) {
                axis[j] = upper.mean[j] - lower.mean[j];
                middle[j] = lower.mean[j] + axis[j] / 2;
            }
            distance = std::inner_product(axis.begin(), axis.end(), axis.begin(), 0.0);
            for (Index n = 0; n < n_rows; ++n) {
                const double* x = rows_ + members[n] * d_;
                position[n] = 0;
                for (Index j = 0; j < d_; ++j) position[n] += (x[j] - middle[j]) * (axis[j] / distance);
            }
        }
        double within = 0;
        for (Index n = 0; n < n_rows; ++n) {
            const double deviation = std::fabs(position[n]) - 0.5;
            within += weight_[members[n]] * deviation * deviation;
        }
        const double between = lower.weight * upper.weight / mass;
        if (!(within <= kMaxVarianceWithin * (within + between))) return std::nullopt;
        return ClusterDivision{k, clusters.mass[k] / mass * between * distance, std::move(lower), std::move(upper)};
    }

    // Returns the weight and the mean of the rows at positive positions, or of all other rows.
    Half half(const Indices& members, const Values& position, bool is_upper) const {
        Half result{0, zeros(d_)};
        for (std::size_t n = 0; n < members.size(); ++n) {
            if ((position[n] > 0) != is_upper) continue;
            const double *x = rows_ + members[n] * d_, weight = weight_[members[n]];
            result.weight += weight;
            for (Index j = 0; j < d_; ++j) result.mean[j] += weight * x[j];
        }
        for (double& mean : result.mean) mean /= result.weight;
        return result;
    }

    const KernelTable& kernels_;
    const CentresView& task_;
    const Execution& execution_;
    const double *rows_, *weight_;
    const Index d_, n_clusters_;
    const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace

bool relocate_centres(const KernelTable& kernels, const CentresView& task, const Execution& execution) {
    return Relocation(kernels, task, execution).run();
}

}  // namespace gaussmix
