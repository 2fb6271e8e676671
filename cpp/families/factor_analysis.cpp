#include "factor_analysis.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "buffer.hpp"
#include "factorisation.hpp"
#include "kernels/poll.hpp"
#include "values.hpp"

namespace gaussmix {

namespace {

void add_multiple(double factor, const double* from, Index count, double* to) {
    for (Index i = 0; i < count; ++i) to[i] += factor * from[i];
}

// smallest ratio of a noise variance to the variance of the feature
constexpr double kRoundingOfVariance = 4 * std::numeric_limits<double>::epsilon();

// Factorises one covariance by the singular value decomposition diag(w) Lambda = U diag(s) V' with w = psi^(-1/2). The
// columns of U and V are stored one after another.
class LowRankFactoriser {
public:
    LowRankFactoriser(const KernelTable& kernels, Index n_features, Index n_factors, Listener listener)
        : kernels_(kernels),
          d_(n_features),
          q_(n_factors),
          listener_(listener),
          poll_(listener),
          w_(zeros(d_)),
          u_(zeros(d_ * q_)),
          s_(zeros(q_)),
          t_(s_),
          v_(zeros(q_ * q_)),
          products_(v_),
          axes_(v_),
          copy_(zeros(std::max(d_, q_) * q_)),
          logarithms_(zeros(d_ + q_)),
          scratch_(Buffer::of_doubles(principal_axes_scratch(q_))) {}

    // Returns false if the covariance is singular.
    bool operator()(const double* covariance, const LowRankWhiteningView& out) {
        if (!decompose(covariance) || is_singular(covariance)) return false;
        write_factors(out);
        write_posterior(out);
        return true;
    }

private:
    // Computes w, U, s, V and t = (1 + s^2)^(-1/2). Returns false if a noise variance is subnormal, negative or
    // infinite.
    bool decompose(const double* covariance) {
        for (Index i = 0; i < d_; ++i) w_[i] = covariance[i * (q_ + 1) + q_];
        if (!invert_roots(w_.data(), d_, w_.data())) return false;
        for (Index l = 0; l < q_; ++l) {
            for (Index i = 0; i < d_; ++i) u_[l * d_ + i] = covariance[i * (q_ + 1) + l] * w_[i];
            for (Index m = 0; m < q_; ++m) v_[l * q_ + m] = l == m;
        }
        // Jacobi's method rotates the columns. Round 2 removes rounding errors of large columns from small columns.
        for (int round = 0; round < 2 && !has_orthogonal_columns(); ++round) {
            kernels_.principal_axes(q_, products_.data(), listener_, scratch_.doubles(), s_.data(), axes_.data());
            rotate(d_, u_);
            rotate(q_, v_);
        }
        normalise();
        return true;
    }

    // Divides each column by its length, and makes it orthogonal to the columns before it. Rotations have sorted the
    // columns by length, largest first, unless the columns were orthogonal already. A column without length remains 0.
    void normalise() {
        for (Index l = 0; l < q_; ++l) {
            s_[l] = std::sqrt(product(l, l));
            t_[l] = 1 / std::sqrt(1 + s_[l] * s_[l]);
            const double divisor = s_[l] > 0 ? s_[l] : 1;
            for (Index i = 0; i < d_; ++i) u_[l * d_ + i] /= divisor;
            for (Index m = 0; m < l; ++m) add_multiple(-product(l, m), &u_[m * d_], d_, &u_[l * d_]);
        }
    }

    double product(Index l, Index m) const {
        double total = 0;
        for (Index i = 0; i < d_; ++i) total += u_[l * d_ + i] * u_[m * d_ + i];
        return total;
    }

    // Computes the scalar products of the columns, and checks whether the columns are orthogonal up to rounding errors.
    bool has_orthogonal_columns() {
        const double limit = std::sqrt(static_cast<double>(d_)) * std::numeric_limits<double>::epsilon();
        bool is_orthogonal = true;
        for (Index l = 0; l < q_ && !poll_.is_cancelled((l + 1) * d_); ++l) {
            for (Index m = 0; m <= l; ++m) products_[l * q_ + m] = products_[m * q_ + l] = product(l, m);
            for (Index m = 0; m < l; ++m) {
                const double sizes = std::sqrt(products_[l * (q_ + 1)]) * std::sqrt(products_[m * (q_ + 1)]);
                is_orthogonal &= std::fabs(products_[l * q_ + m]) <= limit * sizes;
            }
        }
        return is_orthogonal;
    }

    // Replaces columns a_m of length n by the sums of a_m times element (m, l) of the axes.
    void rotate(Index n, Values& columns) {
        std::copy_n(columns.begin(), n * q_, copy_.begin());
        std::fill(columns.begin(), columns.end(), 0.0);
        for (Index l = 0; l < q_ && !poll_.is_cancelled(q_ * n); ++l) {
            for (Index m = 0; m < q_; ++m) add_multiple(axes_[m * q_ + l], &copy_[m * n], n, &columns[l * n]);
        }
    }

    // Checks whether, for some feature j, Sigma_jj (Sigma^-1)_jj is so large that rounding errors dominate.
    bool is_singular(const double* covariance) const {
        for (Index j = 0; j < d_; ++j) {
            double growth = 1, shrinkage = 1;  // Sigma_jj / psi_j and psi_j (Sigma^-1)_jj
            for (Index l = 0; l < q_; ++l) {
                const double loading = covariance[j * (q_ + 1) + l] * w_[j], part = u_[l * d_ + j] * s_[l] * t_[l];
                growth += loading * loading;
                shrinkage -= part * part;
            }
            if (!(growth * shrinkage < kMaxInflation / static_cast<double>(d_))) return true;
        }
        return false;
    }

    // Writes F = U C^(1/2) with C = I - diag(t), w, and log |det W| = sum log w + sum log t.
    void write_factors(const LowRankWhiteningView& out) {
        std::copy(w_.begin(), w_.end(), logarithms_.begin());
        for (Index i = 0; i < d_; ++i) out.factors[i * (q_ + 1) + q_] = w_[i];
        for (Index l = 0; l < q_; ++l) {
            const double scale = s_[l] * t_[l] / std::sqrt(1 + t_[l]);
            for (Index i = 0; i < d_; ++i) out.factors[i * (q_ + 1) + l] = u_[l * d_ + i] * scale;
            logarithms_[d_ + l] = t_[l];
        }
        kernels_.log(logarithms_.data(), d_ + q_, logarithms_.data());
        *out.log_abs_det = sum_in_pairs(logarithms_.data(), d_ + q_);
    }

    // Writes beta = V diag(s t^2) U' diag(w) and P = V diag(t^2) V'. Overwrites U by diag(w) U.
    void write_posterior(const LowRankWhiteningView& out) {
        std::fill_n(out.projections, q_ * d_, 0.0);
        std::fill_n(out.posterior_covariances, q_ * q_, 0.0);
        for (Index l = 0; l < q_ && !poll_.is_cancelled(q_ * (d_ + q_)); ++l) {
            for (Index i = 0; i < d_; ++i) u_[l * d_ + i] *= w_[i];
            for (Index m = 0; m < q_; ++m) {
                const double scaled = v_[l * q_ + m] * t_[l] * t_[l];
                add_multiple(scaled * s_[l], &u_[l * d_], d_, out.projections + m * d_);
                add_multiple(scaled, &v_[l * q_], q_, out.posterior_covariances + m * q_);
            }
        }
    }

    const KernelTable& kernels_;
    const Index d_, q_;
    const Listener listener_;
    baseline::Poll poll_;
    Values w_, u_, s_, t_, v_, products_, axes_, copy_, logarithms_;
    const Buffer scratch_;
};

struct FactorUpdate {
    const KernelTable& kernels;
    const bool has_shared_loadings;
    const FactorSumsView& sums;
    const LoadingsView& current;
    const FactorPosteriorView& posterior;
    Listener listener;
    double* out;
    const Index n = current.n, d = current.n_features, q = current.n_factors, size = d * (q + 1);
    Values expected = zeros(n * q * q);  // E[f f'] of each component's factors f
    Values inverse = zeros(q * q);       // an inverse Cholesky factor W
    Factoriser factoriser{kernels, q};
    baseline::Poll poll{listener};

    void run() {
        for (Index k = 0; k < n; ++k) {
            for (Index i = 0; i < size; ++i) out[k * size + i] = sums.second[k * size + i] / sums.mass[k];
            expect_factors(k);
            if (poll.is_cancelled()) return;
        }
        if (has_shared_loadings) return fit_shared_loadings();
        for (Index k = 0; k < n && !poll.is_cancelled(size * q); ++k) fit_loadings(k);
    }

    double& noise(Index k, Index i) const { return out[k * size + i * (q + 1) + q]; }

    // Computes E[f f'] = beta C + P, where C (n_features, n_factors) is the cross moment of the rows and the factors.
    void expect_factors(Index k) {
        const double *crossed = out + k * size, *projection = posterior.projections + k * q * d;
        double* result = expected.data() + k * q * q;
        std::copy_n(posterior.posterior_covariances + k * q * q, q * q, result);
        for (Index l = 0; l < q && !poll.is_cancelled(d * q); ++l) {
            for (Index i = 0; i < d; ++i) add_multiple(projection[l * d + i], crossed + i * (q + 1), q, result + l * q);
        }
    }

    // Writes W with W'W = S^-1 to `inverse`. Returns false if S is singular.
    bool factorise(const double* matrix) {
        double log_abs_det;
        return factoriser(matrix, listener, inverse.data(), &log_abs_det);
    }

    // Replaces a vector v by W v.
    void whiten(double* vector) const {
        for (Index l = q - 1; l >= 0; --l) {
            double element = 0;
            for (Index m = 0; m <= l; ++m) element += inverse[l * q + m] * vector[m];
            vector[l] = element;
        }
    }

    // Computes the noise of a component, and its loadings C E[f f']^-1 L = C W', where E[f f'] = L L' and W = L^-1.
    void fit_loadings(Index k) {
        if (!factorise(expected.data() + k * q * q)) {
            std::fill_n(out + k * size, size, 0.0);
            return;
        }
        for (double* row = out + k * size; row < out + (k + 1) * size; row += q + 1) {
            whiten(row);
            double rest = row[q];
            for (Index l = 0; l < q; ++l) rest -= row[l] * row[l];
            row[q] = std::max(rest, kRoundingOfVariance * row[q]);
        }
    }

    // Computes loadings for all components, and the noise of each component; McNicholas & Murphy (2008), models CUU and
    // CUC. Let c_k be the cross moments of feature j in component k, and F_k = E[f f']. The loadings of feature j are
    // the weighted regression lambda = (sum_k r_k F_k)^-1 sum_k r_k c_k with r_k = N_k / psi_kj. They explain 2 lambda'
    // c_k - lambda' F_k lambda of the variance in component k. Parameter expansion then replaces lambda by L' lambda =
    // W F lambda, where F = L L' is the mean of all F_k with weights N_k, and W = L^-1.
    void fit_shared_loadings() {
        Values loadings = zeros(d * q), mean = zeros(q * q), expanded = zeros(q);
        bool is_regular = true;
        for (Index i = 0; i < d && !poll.is_cancelled(n * q * (q + 1)); ++i) {
            is_regular &= fit_feature(i, mean, loadings.data() + i * q);
        }
        std::fill(mean.begin(), mean.end(), 0.0);
        const double total = sum(sums.mass, n);
        for (Index k = 0; k < n; ++k) add_multiple(sums.mass[k] / total, &expected[k * q * q], q * q, mean.data());
        is_regular &= factorise(mean.data());
        for (Index i = 0; i < d && !poll.is_cancelled(q * (q + n)); ++i) {
            std::fill(expanded.begin(), expanded.end(), 0.0);
            for (Index l = 0; l < q; ++l) add_multiple(loadings[i * q + l], &mean[l * q], q, expanded.data());
            whiten(expanded.data());
            for (Index k = 0; k < n; ++k) std::copy_n(expanded.begin(), q, out + k * size + i * (q + 1));
        }
        if (!is_regular) std::fill_n(out, n * size, 0.0);
    }

    // Computes the loadings lambda of feature i, and the noise variances of the feature. Overwrites `matrix`.
    bool fit_feature(Index i, Values& matrix, double* loadings) {
        std::fill(matrix.begin(), matrix.end(), 0.0);
        Values right = zeros(q);
        for (Index k = 0; k < n; ++k) {
            const double weight = sums.mass[k] / current.each[k * size + i * (q + 1) + q];
            add_multiple(weight, &expected[k * q * q], q * q, matrix.data());
            add_multiple(weight, out + k * size + i * (q + 1), q, right.data());
        }
        const bool is_regular = factorise(matrix.data());
        whiten(right.data());
        for (Index l = 0; l < q; ++l) add_multiple(right[l], &inverse[l * q], l + 1, loadings);
        for (Index k = 0; k < n; ++k) {
            const double *crossed = out + k * size + i * (q + 1), *factors = &expected[k * q * q];
            double explained = 0;
            for (Index l = 0; l < q; ++l) {
                double rest = 2 * crossed[l];
                for (Index m = 0; m < q; ++m) rest -= factors[l * q + m] * loadings[m];
                explained += loadings[l] * rest;
            }
            noise(k, i) = std::max(noise(k, i) - explained, kRoundingOfVariance * noise(k, i));
        }
        return is_regular;
    }
};

}  // namespace

void find_low_rank_whitening(const KernelTable& kernels, const LoadingsView& covariances, Listener listener,
                             const LowRankWhiteningView& out) {
    const Index d = covariances.n_features, q = covariances.n_factors, size = d * (q + 1);
    LowRankFactoriser factorise(kernels, d, q, listener);
    for (Index k = 0; k < covariances.n && !listener.ask(listener.self); ++k) {
        const LowRankWhiteningView own{out.factors + k * size, out.log_abs_det + k, out.projections + k * q * d,
                                       out.posterior_covariances + k * q * q, out.failed + k};
        *own.failed = !factorise(covariances.each + k * size, own);
    }
}

void update_factors(const KernelTable& kernels, bool has_shared_loadings, const FactorSumsView& sums,
                    const LoadingsView& current, const FactorPosteriorView& posterior, Listener listener,
                    double* covariances) {
    FactorUpdate{kernels, has_shared_loadings, sums, current, posterior, listener, covariances}.run();
}

}  // namespace gaussmix
