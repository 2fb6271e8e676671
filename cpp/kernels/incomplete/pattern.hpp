// Computes the conditional distributions of missing features, given the observed features of a pattern. Each lane holds
// the values of one component.
//
// Let S be the covariance of a component, Lambda = S^-1, m the missing features, o the observed features, and u_o = (x
// - mean)_o. If few features are missing, the conditional mean of the missing values (relative to the component mean)
// is computed as -Lambda_mm^-1 Lambda_mo u_o, the conditional covariance as Lambda_mm^-1, and log |S_oo| as log |S| +
// log |Lambda_mm|. If few features are observed, the conditional mean is computed as S_mo S_oo^-1 u_o, and the
// conditional covariance as S_mm - S_mo S_oo^-1 S_om.
//
// The conditional means of the missing values are the elements of u that minimise |W u|^2. The minimum of |W u|^2 is
// d^2 = u_o' S_oo^-1 u_o; it is computed as a sum of squares, so that no digits are lost by cancellation.
#pragma once
#include "batch.hpp"

namespace gaussmix::GAUSSMIX_ISA::incomplete {

constexpr Index pattern_words(Index n_features) { return (n_features + 63) / 64; }

// Sets bit j of `words` for each missing feature j of the row.
inline void find_missing(const RowsView& rows, Index row, std::uint64_t* words) {
    const char* data = static_cast<const char*>(rows.data);
    for (Index w = 0; w < pattern_words(rows.n_features); ++w) words[w] = 0;
    for (Index j = 0; j < rows.n_features; j += kLanes) {
        const int count = static_cast<int>(smaller(Index{kLanes}, rows.n_features - j));
        unsigned present = 0;
        if (rows.column_stride == 1) {
            const Index at = row * rows.row_stride + j;
            const Vec x = rows.is_float32 ? Vec::load_floats_head(Elements<float>{data}.at(at), count)
                                          : Vec::load_head(Elements<double>{data}.at(at), count);
            present = bits(equal(x, x));
        } else {
            for (int i = 0; i < count; ++i) {
                const double x = value_at(rows, row, j + i);
                present |= static_cast<unsigned>(x == x) << i;
            }
        }
        words[j / 64] |= static_cast<std::uint64_t>(~present & ((1u << count) - 1)) << j % 64;
    }
}

struct Pattern {
    Index n_present, n_missing;
    Index* features;  // indices of the observed features, followed by the missing features

    Index present(Index i) const { return features[i]; }
    Index missing(Index i) const { return features[n_present + i]; }
    // Checks whether inverting the precision matrix of the missing features takes less work than inverting the
    // covariance matrix of the observed features.
    bool uses_downdate() const { return 4 * n_missing <= 7 * n_present; }

    // Returns the pattern of a row; `out` must have space for n_features indices.
    static Pattern of(const RowsView& rows, Index row, Index* out) {
        Index n_present = 0, end = rows.n_features;
        for (Index j = 0; j < rows.n_features; ++j) {
            const double x = value_at(rows, row, j);
            out[x == x ? n_present++ : --end] = j;
        }
        return {n_present, rows.n_features - n_present, out};
    }
};

// Conditional distributions of the missing values under eight components, for one pattern. In all arrays, the lane is
// the last index.
struct Conditional {
    double* covariance;  // conditional covariance of the missing values, as a triangle by rows
    // regression matrix S_mo S_oo^-1, [missing][observed]; `complete` does not need this matrix if few values are
    // missing
    double* regression;
    double* inverse;  // scratch memory for a triangle by rows
    double* vectors;  // scratch memory for n_features vectors
};

class Conditioner {
public:
    Conditioner(const Shape& shape, const double* operands)
        : operands_(operands), layout_(shape), d_(shape.n_features), K_(padded_components(shape)) {}

    // Computes the conditional distributions under components 8 v .. 8 v + 7, and returns log |S_oo| of each component.
    Vec condition(const Pattern& pattern, Index v, const Conditional& out) const {
        const Index n = pattern.n_missing, o = pattern.n_present;
        if (pattern.uses_downdate()) {
            for (Index a = 0; a < n; ++a) {
                for (Index b = 0; b <= a; ++b)
                    precision(pattern.missing(a), pattern.missing(b), v).store(out.covariance + index(a, b) * kLanes);
            }
            const Vec log_det = invert(n, out.covariance, out.vectors);
            return log_det - Vec::broadcast(2) * element(layout_.log_det, 0, v);
        }
        for (Index i = 0; i < o; ++i) {
            for (Index j = 0; j <= i; ++j)
                covariance(pattern.present(i), pattern.present(j), v).store(out.inverse + index(i, j) * kLanes);
        }
        const Vec log_det = invert(o, out.inverse, out.vectors);
        if (o > 0 && o <= 8) {
            with_constant(o, [&](auto count) { condition_on<decltype(count)::value>(pattern, v, out); });
        } else {
            condition_on<0>(pattern, v, out);
        }
        return log_det;
    }

    // If few values are missing, computes the regression matrix -Lambda_mm^-1 Lambda_mo, which `condition` does not
    // compute in this case.
    void regress(const Pattern& pattern, Index v, const Conditional& out) const {
        const Index n = pattern.n_missing, o = pattern.n_present;
        if (!pattern.uses_downdate()) return;
        for (Index i = 0; i < o; ++i) {
            for (Index a = 0; a < n; ++a) {
                Vec sum = Vec::zero();
                for (Index b = 0; b < n; ++b)
                    sum = fma(Vec::load(out.covariance + index(a, b) * kLanes),
                              precision(pattern.missing(b), pattern.present(i), v), sum);
                (Vec::zero() - sum).store(out.regression + (a * o + i) * kLanes);
            }
        }
    }

    // Writes the conditional means of a row's missing features, relative to the component means. The values of feature
    // j are at u + j * stride, one value per lane.
    void complete(const Pattern& pattern, Index v, const Conditional& c, Index stride, double* u) const {
        const Index n = pattern.n_missing, o = pattern.n_present;
        const auto present = [&](Index i) { return Vec::load(u + pattern.present(i) * stride); };
        if (!pattern.uses_downdate()) {
            return multiply(
                n, o, [&](Index a) { return c.regression + a * o * kLanes; }, [](Index i) { return i * kLanes; },
                present, [&](Index a, Vec mean) { mean.store(u + pattern.missing(a) * stride); });
        }
        const double* precisions = operands_ + layout_.precision + v * kLanes;
        multiply(
            n, o, [&](Index a) { return precisions + pattern.missing(a) * d_ * K_; },
            [&](Index i) { return pattern.present(i) * K_; }, present,
            [&](Index a, Vec sum) { (Vec::zero() - sum).store(c.vectors + a * kLanes); });
        for (Index a = 0; a < n; ++a) {
            Vec sum = Vec::zero();
            for (Index b = 0; b < n; ++b)
                sum = fma(Vec::load(c.covariance + index(a, b) * kLanes), Vec::load(c.vectors + b * kLanes), sum);
            sum.store(u + pattern.missing(a) * stride);
        }
    }

    GAUSSMIX_INLINE Vec element(Index part, Index row, Index v) const {
        return Vec::load(operands_ + part + row * K_ + v * kLanes);
    }
    GAUSSMIX_INLINE Vec precision(Index i, Index j, Index v) const { return element(layout_.precision, i * d_ + j, v); }
    GAUSSMIX_INLINE Vec covariance(Index i, Index j, Index v) const {
        return element(layout_.covariance, i * d_ + j, v);
    }
    const Operands& layout() const { return layout_; }

private:
    // Calls store(a, sum_i row(a)[at(i)] * x(i)) for each a < n, where the sum is over i < o. Four values of a are
    // handled at a time, because the processor can compute four independent sums in parallel.
    template <class Row, class At, class X, class Store>
    static void multiply(Index n, Index o, Row&& row, At&& at, X&& x, Store&& store) {
        for (Index first = 0; first < n; first += 4) {
            with_constant(smaller(Index{4}, n - first), [&](auto count) {
                constexpr int H = smaller(decltype(count)::value, 4);
                const double* rows[H];
                Vec sum[H];
                GAUSSMIX_UNROLL for (int a = 0; a < H; ++a) {
                    rows[a] = row(first + a);
                    sum[a] = Vec::zero();
                }
                for (Index i = 0; i < o; ++i) {
                    const Vec value = x(i);
                    const Index index = at(i);
                    GAUSSMIX_UNROLL for (int a = 0; a < H; ++a) sum[a] = fma(Vec::load(rows[a] + index), value, sum[a]);
                }
                GAUSSMIX_UNROLL for (int a = 0; a < H; ++a) store(first + a, sum[a]);
            });
        }
    }

    // Computes the regression matrix and the conditional covariance of the missing features. N is the number of
    // observed features, or 0 if this number is known only at run time.
    template <int N>
    void condition_on(const Pattern& pattern, Index v, const Conditional& out) const {
        const Index n = pattern.n_missing, o = N > 0 ? N : pattern.n_present;
        for (Index a = 0; a < n; ++a) {
            double* row = out.regression + a * o * kLanes;
            for (Index j = 0; j < o; ++j)
                covariance(pattern.missing(a), pattern.present(j), v).store(out.vectors + j * kLanes);
            for (Index i = 0; i < o; ++i) {
                Vec sum = Vec::zero();
                for (Index j = 0; j < o; ++j)
                    sum = fma(Vec::load(out.inverse + index(i, j) * kLanes), Vec::load(out.vectors + j * kLanes), sum);
                sum.store(row + i * kLanes);
            }
            // Computes the conditional covariances S_ab - S_ao S_oo^-1 S_ob of missing feature a with all missing
            // features b <= a.
            for (Index b = 0; b <= a; ++b) {
                const double* other = out.regression + b * o * kLanes;
                Vec sum = Vec::zero();
                for (Index i = 0; i < o; ++i)
                    sum = fma(Vec::load(other + i * kLanes), Vec::load(out.vectors + i * kLanes), sum);
                (covariance(pattern.missing(a), pattern.missing(b), v) - sum)
                    .store(out.covariance + index(a, b) * kLanes);
            }
        }
    }

    const double* operands_;
    const Operands layout_;
    const Index d_, K_;
};

}  // namespace gaussmix::GAUSSMIX_ISA::incomplete
