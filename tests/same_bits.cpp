// Runs the kernels on synthetic rows, and prints a hash of the results of each case, to compare backends, compilers and
// processors.
//
//   same_bits [BACKEND [time]]   runs one backend, or all backends of this processor; `time` prints nanoseconds for
//                                each row and component instead
//
// Rows are made from integers by exact arithmetic, so that they are the same everywhere. All NaNs are one number.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "dispatch.hpp"
#include "em/fit_many.hpp"
#include "families/axes.hpp"
#include "families/factorisation.hpp"
#include "families/update.hpp"
#include "incomplete.hpp"
#include "passes.hpp"
#include "sampling.hpp"

using namespace gaussmix;

namespace {

using Doubles = std::vector<double>;

std::size_t size_of(Index n) { return static_cast<std::size_t>(n); }

class Random {  // xorshift generator
public:
    explicit Random(Index seed) : state_(static_cast<std::uint64_t>(seed) * 0x9E3779B97F4A7C15 + 1) {}
    std::uint64_t bits() {
        state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
        return state_;
    }
    double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
    double normal() {  // nearly normal: an exact sum of four uniform numbers
        double sum = 0;
        for (int i = 0; i < 4; ++i) sum += static_cast<double>(static_cast<std::int64_t>(bits()) >> 32) * 0x1p-31;
        return sum;
    }
    Doubles normals(Index n, double scale = 1, double shift = 0) {
        Doubles x(size_of(n));
        for (double& value : x) value = normal() * scale + shift;
        return x;
    }

private:
    std::uint64_t state_;
};

class Hash {  // FNV-1a hash
public:
    void add(double x) {
        std::uint64_t bits = 0x7ff8000000000000;
        if (x == x) std::memcpy(&bits, &x, sizeof bits);
        for (int i = 0; i < 8; ++i) value_ = (value_ ^ (bits >> 8 * i & 255)) * 0x100000001b3;
    }
    template <class T>
    void add(const std::vector<T>& all) {
        for (const T& x : all) add(static_cast<double>(x));
    }
    void print(const std::string& name) const {
        std::printf("%s: %016llx\n", name.c_str(), static_cast<unsigned long long>(value_));
    }

private:
    std::uint64_t value_ = 0xcbf29ce484222325;
};

enum Factors { spherical, diagonal, triangular, shared, low_rank };
constexpr const char* kFactors[] = {"spherical", "diagonal", "triangular", "shared", "low rank"};

// Rows, parameters of a mixture, and priors of the rows.
struct Problem {
    Index n, d, K;
    Shape shape;
    Doubles rows, weight, given, origin, log_scale, means, factors, anchor, projection, prior;
    std::vector<float> floats;

    Problem(Index n_rows, Index n_features, Index n_components, Factors kind, Rule rule, Second second, Index seed)
        : n(n_rows), d(n_features), K(n_components) {
        Random random(seed);
        const auto below = [&](Index bound) {
            return static_cast<Index>(random.bits() % static_cast<std::uint64_t>(bound));
        };
        const Index n_factors = kind == low_rank ? below(d + 1) : 0;
        const Index n_projected = second == Second::projected ? below(11) : 0;
        constexpr FactorShape kShapes[] = {FactorShape::spherical, FactorShape::diagonal, FactorShape::triangular,
                                           FactorShape::triangular, FactorShape::low_rank};
        shape = {K, d, kShapes[kind], kind == shared, rule, second, n_factors, n_projected};
        rows = random.normals(n * d, 1.5, 5);
        floats.assign(rows.begin(), rows.end());
        for (Index i = 0; i < n; ++i) weight.push_back(static_cast<double>(below(4)) / 2);
        origin.assign(size_of(d), 5.0);
        log_scale = random.normals(K);
        means = random.normals(K * d);
        anchor = means;
        for (double& a : anchor) a += 0.1 * random.normal();
        projection = random.normals(K * d * n_projected);
        for (Index i = 0; i < n; ++i) {
            Doubles shares(size_of(K));
            double total = 0;
            for (double& share : shares) total += share = random.uniform();
            for (const double share : shares) given.push_back(share / total);
        }
        prior = random.normals(n * K, 0.5, -2);
        for (double& p : prior) p = std::min(p, 0.0);
        factors = made_factors(kind, n_factors, random);
    }

    Doubles made_factors(Factors kind, Index n_factors, Random& random) const {
        Doubles w;
        const auto root = [](Index i) { return std::sqrt(static_cast<double>(i)); };
        for (Index k = 0; k < (kind == shared ? 1 : K); ++k) {
            if (kind == spherical || kind == diagonal) {
                for (Index i = 0; i < (kind == spherical ? 1 : d); ++i) w.push_back(0.5 + random.uniform());
            } else if (kind == low_rank) {  // [F | w]
                Doubles f(size_of(d * (n_factors + 1)));
                for (Index l = 0; l < n_factors; ++l)
                    f[size_of(l * (n_factors + 1) + l)] = 0.1 + 0.8 * random.uniform();
                for (Index i = 0; i < d; ++i) f[size_of(i * (n_factors + 1) + n_factors)] = 0.5 + random.uniform();
                w.insert(w.end(), f.begin(), f.end());
            } else {
                for (Index i = 0; i < d; ++i) {
                    for (Index j = 0; j < d; ++j) w.push_back(j > i ? 0 : (i == j) + 0.4 * random.normal() / root(d));
                }
            }
        }
        return w;
    }

    RowsView view(bool is_float, bool is_transposed = false) const {
        return {is_float ? static_cast<const void*>(floats.data()) : rows.data(),
                is_float,
                n,
                d,
                is_transposed ? 1 : d,
                is_transposed ? n : 1,
                is_float ? nullptr : origin.data(),
                nullptr};
    }
    ParametersView parameters() const {
        return {log_scale.data(), means.data(), factors.data(), shape.second == Second::none ? nullptr : anchor.data(),
                shape.second == Second::projected ? projection.data() : nullptr};
    }
};

struct Moments {
    double log_likelihood = 0, n_distant = 0, n_near = 0, background = 0;
    Doubles mass, first, second;

    explicit Moments(const Shape& s) : mass(size_of(s.n_components)), first(size_of(s.n_components * s.n_features)) {
        const Index d = s.n_features;
        const Index each = s.second == Second::full        ? d * d
                           : s.second == Second::diagonal  ? d
                           : s.second == Second::trace     ? 1
                           : s.second == Second::projected ? d * (s.n_projected + 1)
                                                           : 0;
        second.resize(size_of(s.n_components * each));
    }
    MomentsView view() {
        return {&log_likelihood, &n_distant, &n_near, mass.data(), first.data(), second.data(), &background};
    }
    void add_to(Hash& hash) const {
        for (const double x : {log_likelihood, n_distant, n_near, background}) hash.add(x);
        hash.add(mass), hash.add(first), hash.add(second);
    }
};

class Cases {
public:
    explicit Cases(const KernelTable& kernels) : kernels_(kernels) {}

    void run_all() {
        elementary();
        for (const double scale : {1e-300, 1e-160, 1e-20, 1e20, 1e154, 1e200, 1e308}) extremes(scale);
        for (const Index d : {1, 2, 5, 8, 9, 20, 33}) matrices(d);
        for (const Index d : {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 16, 17, 33, 64}) {
            for (const Factors kind : {spherical, diagonal, triangular, shared, low_rank}) steps(d, kind);
        }
        for (const Index d : {1, 2, 5, 8, 9}) scores(d);
        for (const Index d : {2, 5, 9, 12}) {
            for (const Index K : {3, 10}) incomplete_rows(d, K);
        }
        fits();
    }

    // Returns nanoseconds of a step for each row and component, on one thread.
    void time() {
        execution_.n_threads = 1;
        for (const Factors kind : {triangular, diagonal}) {
            for (const Index d : {2, 4, 8, 16, 32, 64}) {
                for (const bool is_float : {false, true}) time(d, kind, is_float);
            }
        }
    }

private:
    void step_into(Hash& hash, const Problem& p, const StepView& task) {
        Moments out(p.shape);
        step(kernels_, task, p.parameters(), execution_, out.view());
        out.add_to(hash);
    }

    void elementary() {
        Random random(3);
        Doubles x;
        for (int i = 0; i < 20000; ++i) {
            const std::uint64_t bits = random.bits();
            double any;
            std::memcpy(&any, &bits, sizeof any);
            x.insert(x.end(), {any, random.uniform()});
        }
        x.insert(x.end(), {0.0, -0.0, 1.0, -1.0, 5e-324, 0x1p-1022, 0x1.fffffffffffffp1023});
        Doubles logs(x.size());
        kernels_.log(x.data(), static_cast<Index>(x.size()), logs.data());
        Hash of_logs;
        of_logs.add(logs);
        of_logs.print("log");

        std::vector<std::uint32_t> words(40000);
        for (auto& word : words) word = static_cast<std::uint32_t>(random.bits());
        Doubles normals(words.size() / 2);
        kernels_.normals(words.data(), static_cast<Index>(words.size() / 4), normals.data());
        Hash of_normals;
        of_normals.add(normals);
        of_normals.print("normals");

        const Index n = 4096;  // exponentials of all gaps, by responsibilities of two components
        const Doubles rows = random.normals(n, 30), log_scale{0, 0}, means{0, 0.5}, factors{1, 1.5};
        const Shape shape{2, 1, FactorShape::spherical, false, Rule::soft, Second::none};
        Doubles table(size_of(2 * n));
        evaluate(kernels_, shape, plain_rows(rows.data(), n, 1),
                 {log_scale.data(), means.data(), factors.data(), nullptr}, Output::responsibilities, execution_,
                 table.data());
        Hash of_table;
        of_table.add(table);
        of_table.print("exp");
    }

    void extremes(double scale) {
        Hash hash;
        for (const Factors kind : {spherical, diagonal, triangular}) {
            Problem p(200, 5, 3, kind, Rule::soft, kind == triangular ? Second::full : Second::diagonal, 77);
            for (double& x : p.rows) x *= scale;
            p.rows[11] = INFINITY, p.rows[30] = -INFINITY;
            p.floats.clear();
            for (const double x : p.rows) p.floats.push_back(static_cast<float>(x));
            for (const bool is_float : {false, true}) {
                Doubles out(size_of(p.n * p.K));
                for (const Output output : {Output::responsibilities, Output::log_density}) {
                    evaluate(kernels_, p.shape, p.view(is_float), p.parameters(), output, execution_, out.data());
                    hash.add(out);
                }
                step_into(hash, p, {p.shape, p.view(is_float), {}, {}, {}});
            }
        }
        char name[40];
        std::snprintf(name, sizeof name, "extreme %g", scale);
        hash.print(name);
    }

    void matrices(Index d) {
        Random random(d + 900);
        const Index K = 3;
        const Doubles root = random.normals(K * d * d);
        Doubles s(size_of(K * d * d)), factors(s), products(s), axes(s), spectra(size_of(K * d)), log_det(size_of(K));
        for (Index k = 0; k < K; ++k) {
            const double* const r = root.data() + k * d * d;
            for (Index i = 0; i < d; ++i) {
                for (Index j = 0; j < d; ++j) {
                    double sum = 0;
                    for (Index l = 0; l < d; ++l) sum += r[i * d + l] * r[j * d + l];
                    s[size_of((k * d + i) * d + j)] = sum;
                }
            }
        }
        bool failed[K];
        Hash hash;
        factorise(kernels_, K, d, s.data(), factors.data(), log_det.data(), failed, interrupt_);
        gram(kernels_, K, d, factors.data(), products.data(), interrupt_);
        hash.add(factors), hash.add(log_det), hash.add(products);
        principal_axes(kernels_, K, d, s.data(), interrupt_.listener(), spectra.data(), axes.data());
        hash.add(spectra), hash.add(axes);
        shared_axes(kernels_, {K, d, s.data(), nullptr}, {50, 0.01}, interrupt_.listener(), axes.data());
        hash.add(axes);
        hash.print("matrices d=" + std::to_string(d));
    }

    void steps(Index d, Factors kind) {
        Hash doubles, floats, columns, priors, candidates, bounds, outputs;
        for (const Rule rule : {Rule::soft, Rule::hard, Rule::assignment}) {
            for (const Second second :
                 {Second::none, Second::trace, Second::diagonal, Second::full, Second::projected}) {
                const Index seed = ((d * 5 + kind) * 3 + static_cast<Index>(rule)) * 5 + static_cast<Index>(second);
                const Problem p(333, d, 6, kind, rule, second, seed);
                StepView task{p.shape, p.view(false), {p.weight.data(), 1}, {}, {}};
                if (rule == Rule::assignment) task.assignment = {nullptr, p.given.data(), p.K, 1};
                const bool has_bounds =
                    rule == Rule::soft && kind <= triangular && second != Second::none && second != Second::projected;
                step_into(doubles, p, task);
                task.rows = p.view(true);
                step_into(floats, p, task);
                task.rows = p.view(false, true);
                step_into(columns, p, task);
                task.rows = p.view(false);
                task.row_weight = {};
                if (rule != Rule::assignment) {
                    task.prior = {p.prior.data(), p.K, 1, p.K, nullptr, 0};
                    step_into(priors, p, task);
                    if (kind != shared) step_among_candidates(candidates, p, task);
                    task.prior = {};
                }
                if (has_bounds) visits(bounds, p, task);
                if (rule == Rule::soft && second == Second::full) evaluate_and_draw(outputs, p);
            }
        }
        const std::string name = std::string(" ") + kFactors[kind] + " d=" + std::to_string(d);
        doubles.print("step, doubles" + name);
        floats.print("step, floats" + name);
        columns.print("step, columns" + name);
        priors.print("step, priors" + name);
        if (kind != shared) candidates.print("step, candidates" + name);
        bounds.print("step, bounds" + name);
        outputs.print("evaluate and draw" + name);
    }

    // Makes two steps with two candidates of each row; the second step uses the candidates that the first one chose.
    void step_among_candidates(Hash& hash, const Problem& p, const StepView& view) {
        std::vector<std::int32_t> candidates(size_of(2 * p.n), -1), neighbours(size_of(p.K)), rank;
        for (Index i = 0; i < p.n; ++i) candidates[size_of(2 * i)] = static_cast<std::int32_t>(i * i % p.K);
        for (std::int32_t k = 0; k < p.K; ++k) neighbours[size_of(k)] = k - 1, rank.push_back(k);
        for (std::uint64_t key = 0; key < 2; ++key) {
            Moments out(p.shape);
            const TruncatedView task{view, 2, 1, 1, 1, 2, 0, candidates.data(), neighbours.data(), key};
            step_truncated(kernels_, task, p.parameters(), rank.data(), execution_, out.view());
            out.add_to(hash);
            hash.add(Doubles(candidates.begin(), candidates.end()));
        }
    }

    // Makes two steps, of which the second uses the bounds of the first.
    void visits(Hash& hash, const Problem& p, StepView task) {
        std::vector<std::uint16_t> labels(size_of(p.n));
        std::vector<float> bounds(size_of((p.n + kGroupRows - 1) / kGroupRows * p.K)), ratio(size_of(p.K)),
            shift(ratio);
        for (int visit = 0; visit < 2; ++visit) {
            task.visit = {labels.data(), bounds.data(), ratio.data(), shift.data()};
            step_into(hash, p, task);
            measure_motion(kernels_, p.shape, p.parameters(), p.parameters(), ratio.data(), shift.data(), interrupt_);
            hash.add(labels), hash.add(bounds), hash.add(ratio), hash.add(shift);
        }
    }

    void evaluate_and_draw(Hash& hash, const Problem& p) {
        for (const Output output : {Output::log_density, Output::responsibilities, Output::weighted_log_density}) {
            Doubles out(size_of(output == Output::log_density ? p.n : p.n * p.K));
            for (const bool is_float : {false, true}) {
                evaluate(kernels_, p.shape, p.view(is_float), p.parameters(), output, execution_, out.data());
                hash.add(out);
            }
        }
        std::vector<std::int64_t> labels(size_of(p.n));
        evaluate(kernels_, p.shape, p.view(false), p.parameters(), Output::labels, execution_, labels.data());
        hash.add(labels);

        const Index n = 1000;
        Doubles drawn(size_of(n * p.d)), cumulative;
        for (Index k = 0; k < p.K; ++k) cumulative.push_back(static_cast<double>(k + 1) / static_cast<double>(p.K));
        labels.resize(size_of(n));
        draw(kernels_,
             {p.shape, p.means.data(), p.factors.data(), cumulative.data(), nullptr, 0, 12345, drawn.data(),
              labels.data()},
             n, execution_);
        hash.add(drawn), hash.add(labels);
    }

    void scores(Index d) {
        Hash hash;
        for (const Factors kind : {spherical, diagonal, triangular, shared}) {
            const Problem p(1111, d, 6, kind, Rule::soft, Second::none, d + 17 * kind);
            ScoresView task{};
            task.step = {p.shape, p.view(false), {p.weight.data(), 1}, {}, {}};
            task.second = kind >= triangular ? Second::full : kind == diagonal ? Second::diagonal : Second::trace;
            task.is_shared = kind == shared;
            task.means = p.means.data();
            const Doubles whitening = Random(d).normals(p.K * d * d);
            task.factors = whitening.data();
            count_scores(task);
            const Index n_all = task.n_all * kPanelValues, n_own = task.n_own * kPanelValues;
            Doubles all(size_of(n_all * n_all)), own(size_of(p.K * n_own * n_own));
            add_scores(kernels_, task, p.parameters(), execution_, all.data(), own.data());
            hash.add(all), hash.add(own);
        }
        hash.print("scores d=" + std::to_string(d));
    }

    void incomplete_rows(Index d, Index K) {
        const Index n = 1200;
        Problem p(n, d, K, triangular, Rule::soft, Second::full, d * 31 + K);
        Random random(d + K);
        for (Index i = 0; i < n; ++i) {
            for (Index j = 0; j < d; ++j) {  // one frequent pattern, and many rare ones
                const bool is_missing = i % 3 == 0 ? (j == 1 || j == 3) : random.uniform() < 0.25;
                if (is_missing) p.rows[size_of(i * d + j)] = NAN, p.floats[size_of(i * d + j)] = NAN;
            }
        }
        Doubles error(size_of(n * d)), table(size_of(n * K)), means(size_of(n * d)), covariances(size_of(n * d * d));
        for (double& e : error) e = random.uniform() < 0.2 ? 0 : random.uniform();
        for (double& x : p.rows) x -= 5;
        Hash hash;
        for (const char* kind : {"doubles", "floats", "errors"}) {
            RowsView rows = p.view(std::string(kind) == "floats");
            rows.origin = nullptr;
            IncompleteView task{p.shape, rows, {p.weight.data(), 1}, {}, {}, nullptr};
            const bool has_errors = std::string(kind) == "errors";
            if (has_errors) task.error = {error.data(), false, d, 1, 0};
            Moments out(p.shape);
            step_incomplete(kernels_, task, p.parameters(), execution_, out.view());
            out.n_distant = out.n_near = 0;  // steps over incomplete rows do not count these
            out.add_to(hash);
            evaluate_incomplete(kernels_, task, p.parameters(), execution_, table.data());
            hash.add(table);
            if (has_errors) {
                denoise(kernels_, task, p.parameters(), execution_, means.data(), covariances.data());
                hash.add(means), hash.add(covariances);
            }
        }
        hash.print("incomplete d=" + std::to_string(d) + " K=" + std::to_string(K));
    }

    void fits() {
        constexpr Across kAcross[] = {Across::nothing, Across::equal, Across::own};
        for (const Across volume : {Across::equal, Across::own}) {
            for (const Across shape : kAcross) {
                for (const Across orientation : kAcross) {
                    const Algebra algebra{volume, shape, orientation};
                    if (!is_valid(algebra)) continue;
                    fit(algebra, false);
                    fit(algebra, true);
                }
            }
        }
    }

    void fit(const Algebra& algebra, bool is_searched) {
        const Index n = 500, d = 5, K = 4;
        Random random(1234);
        const Doubles centres = random.normals(K * d, 0.6);
        Doubles rows, uniform;
        for (Index i = 0; i < n; ++i) {
            for (Index j = 0; j < d; ++j) {
                rows.push_back(centres[size_of(i % K * d + j)] +
                               random.normal() * (0.5 + 0.2 * static_cast<double>((i + j) % K)));
            }
        }
        Doubles draws;
        for (Index i = 0; i < 2 * (1 + (K - 1) * 4); ++i) uniform.push_back(random.uniform());
        for (Index i = 0; i < 2 * 211; ++i) draws.push_back(random.uniform());
        const AcceptanceSettings judgement{{1e-5, 4}, {1e-5, 16}, {1e-4, 15}, {1e-5, 45}, 2e-5,
                                           16,        0.0025,     2,          10,         5e-6};
        const SearchView search{
            draws.data(), 211, {4, 20, 1e-4}, {1e-4, 30}, {1e-4, 30}, {1e-5, 300}, judgement, 20, 8, K, 400,
            250,          330, 160,           40,         1e3,        1e3,         2,         2,  0, 2, 0};
        const FitSettingsView settings{algebra,
                                       K,
                                       nullptr,
                                       nullptr,
                                       {},
                                       2,
                                       uniform.data(),
                                       {4, 20, 1e-4, is_searched},
                                       is_searched,
                                       nullptr,
                                       1e-6,
                                       0.05,
                                       1e-12,
                                       {1e-3, 1e-15, 1e3, 1e6},
                                       1e-7,
                                       60,
                                       1e9,
                                       is_searched ? std::optional(search) : std::nullopt};
        const std::int64_t first = 0, n_rows = n;
        const double total = static_cast<double>(n), unit = 1;
        const Index n_factors = algebra.is_shared() ? 1 : K;
        Doubles weights(size_of(K)), means(size_of(K * d)), covariances(size_of(n_factors * algebra.size(d)));
        Doubles factors(covariances.size()), log_abs_det(size_of(n_factors)), ridge(size_of(d));
        std::int64_t n_steps = 0;
        bool has_converged = false;
        std::vector<Values> log_likelihood(1), objective(1);
        fit_many(kernels_, {plain_rows(rows.data(), n, d), {}, 1, &first, &first, &n_rows, &total, &unit}, settings,
                 execution_,
                 {weights.data(), means.data(), covariances.data(), factors.data(), log_abs_det.data(), ridge.data(),
                  &n_steps, &has_converged, log_likelihood, objective});
        Hash hash;
        hash.add(weights), hash.add(means), hash.add(covariances), hash.add(factors), hash.add(log_abs_det),
            hash.add(ridge);
        for (const double x : log_likelihood[0]) hash.add(x);
        hash.print((is_searched ? "search " : "fit ") + std::to_string(static_cast<int>(algebra.volume)) +
                   std::to_string(static_cast<int>(algebra.shape)) +
                   std::to_string(static_cast<int>(algebra.orientation)) + ", " + std::to_string(n_steps) + " steps");
    }

    void time(Index d, Factors kind, bool is_float) {
        const Index n = 20000, K = 16;
        const Problem p(n, d, K, kind, Rule::soft, kind == triangular ? Second::full : Second::diagonal, 5);
        double least = 1e9;
        for (int i = 0; i < 9; ++i) {
            Moments out(p.shape);
            const auto began = std::chrono::steady_clock::now();
            step(kernels_, {p.shape, p.view(is_float), {}, {}, {}}, p.parameters(), execution_, out.view());
            least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
        }
        std::printf("%s, d = %d, %s: %.2f\n", kFactors[kind], static_cast<int>(d), is_float ? "float" : "double",
                    least * 1e9 / static_cast<double>(n * K));
    }

    const KernelTable& kernels_;
    Interrupt interrupt_{[] { return false; }};
    Execution execution_{2, interrupt_};
};

}  // namespace

int main(int argc, char** argv) {
    const std::string wanted = argc > 1 ? argv[1] : "";
    bool is_found = false;
    for (const KernelTable* kernels : usable_kernels()) {
        if (!wanted.empty() && wanted != kernels->isa) continue;
        is_found = true;
        std::printf("# %s\n", kernels->isa);
        Cases cases(*kernels);
        argc > 2 ? cases.time() : cases.run_all();
    }
    return is_found ? 0 : 1;
}
