// Types of the interface between the kernels, which are compiled once per instruction set, and the rest of the C++
// core. All types of the interface are plain structs of enumerators, pointers and sizes, which own no memory and
// instantiate no templates of `std`.
#pragma once
#include <cstddef>
#include <cstdint>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "gaussmix's kernels need a little-endian processor."
#elif __FLT_EVAL_METHOD__ != 0
#error "gaussmix's kernels need arithmetic that rounds to double. On 32-bit x86, compile with -msse2 -mfpmath=sse."
#endif

namespace gaussmix {

using Index = std::ptrdiff_t;

// A tile is the block of rows that a pass keeps in the L1 cache. Sums over the rows of a tile are taken in one fixed
// order, so the number of rows in a tile affects the last bits of results. With 18 vectors of 8 rows per tile, the time
// is within 1 % of the best time for every n_features that was measured.
constexpr Index kTileRows = 144;

// A matrix S counts as singular if rounding errors dominate its inverse, i.e. if n_features S_jj (S^-1)_jj reaches this
// value for some feature j.
constexpr double kMaxInflation = 0x1p49;  // equals 1 / (8 epsilon)

constexpr double kLog2Pi = 1.8378770664093456;  // log(2 pi)

// Number of rows in a group. The rows of a group are whitened together and share bounds on their distances from the
// components.
constexpr Index kGroupRows = 24;

// Number of rows in a leaf, which is a block of consecutive rows. Rows may be reordered within a leaf, and a binary
// tree merges the sums of leaves.
constexpr Index kLeafRows = 455 * kTileRows;

enum class FactorShape { spherical, diagonal, triangular, low_rank };
enum class Rule { soft, hard, assignment };
enum class Second { none, trace, diagonal, full, projected };
enum class Output { log_density, responsibilities, weighted_log_density, labels, responsibilities_and_log_density };

// Rows of a table. The kernels subtract `origin` from each row. Strides count elements and may be negative.
struct RowsView {
    const void* data;
    bool is_float32;
    Index n_rows, n_features;
    Index row_stride, column_stride;
    const double* origin;  // (n_features,); if null, nothing is subtracted
    // index of each visited row within the leaf of this row, (n_rows,); if null, rows are visited in order
    const std::uint16_t* order;
};

// Returns a view of C-contiguous rows.
constexpr RowsView plain_rows(const double* rows, Index n_rows, Index n_features) {
    return {rows, false, n_rows, n_features, n_features, 1, nullptr, nullptr};
}

struct RowWeightView {  // weights of rows; every weight is 1 if `data` is null
    const double* data;
    Index stride;
};

// Labels or responsibilities of the rows that the caller gives. With Rule::assignment, one of the two pointers is set;
// with other rules, both pointers are null.
struct AssignmentView {
    const std::int32_t* labels;
    const double* responsibilities;
    Index row_stride, column_stride;
};

// Log prior probabilities of the components for each row, which are at most 0 and are added to the log densities. If
// `table` is null, there is no prior.
struct PriorView {
    const double* table;  // (n_priors, n_columns), one column per component, then one for the noise component, if any
    Index row_stride, column_stride, n_columns;
    // row of `table` for each data row, (n_rows,), or -1 for a data row without a prior; if null, row i of `table`
    // belongs to data row i
    const std::int32_t* indices;
    Index index_stride;
};

// Parameters of the components. The log density of row x under component k is log_scale_k - |W_k (x - mean_k)|^2 / 2.
struct ParametersView {
    const double* log_scale;  // constant terms of the log densities, (n_components,)
    const double* means;      // means of the components, (n_components, n_features)
    // Whitening factors W in one of four layouts: one number for each component, one number for each component and
    // feature, lower triangular matrices, or matrices F followed by a column w (see kernels/low_rank.hpp).
    const double* factors;
    // anchors, (n_components, n_features), which are the points about which moments are taken; null for Second::none
    const double* anchor;
    // transposed projections B', (n_components, n_features, n_projected), for Second::projected; otherwise null
    const double* projection = nullptr;
    double log_noise_density = -__builtin_inf();  // weighted log density of the noise component, the same for every row
};

struct Shape {  // sizes and options that determine all memory layouts
    Index n_components, n_features;
    FactorShape factor_shape;
    bool is_shared;  // whether all components share one triangular factor
    Rule rule;
    Second second;
    Index n_factors = 0;    // number of columns of the matrix F, only for FactorShape::low_rank
    Index n_projected = 0;  // number of rows of each projection B, only for Second::projected
};

struct VisitView {          // results that a pass leaves for the next pass over the same rows; each pointer may be null
    std::uint16_t* labels;  // output: most probable component of each row, (n_rows,)
    // bounds on the distances of groups of rows from components, (n_groups, n_components); a pass first adapts these
    // bounds to the motion of the components, and then uses and renews the bounds (see kernels/bounds.hpp)
    float* bounds;
    const float* ratio;  // factors by which the pass first multiplies the bounds, (n_components,)
    const float* shift;
};

struct StepView {
    Shape shape;
    RowsView rows;
    RowWeightView row_weight;
    AssignmentView assignment;
    VisitView visit;
    PriorView prior = {};  // log prior probabilities, used with Rule::soft and Rule::hard
};

struct TruncatedView {  // EM step in which each row has few candidate components (see kernels/truncated/step.hpp)
    // The rule of the step is soft or hard. Rows that have the same most probable component follow each other. With
    // Second::none, the step does not sum moments.
    StepView step;
    Index n_candidates, n_neighbours;
    Index n_expanded;  // number of each row's first candidates whose neighbours a pass may try
    Index n_tried;     // number of neighbours that a pass tries for one candidate
    Index n_drawn;     // number of randomly drawn neighbours of the candidates that a pass tries for one row
    Index first_row;
    // candidates of each row, (n_rows, n_candidates), in descending order of their densities; unused entries are -1.
    // Updated in place.
    std::int32_t* candidates;
    // components near each component, (n_components, n_neighbours), where -1 marks empty entries
    const std::int32_t* neighbours;
    std::uint64_t key;  // random key that selects random components and the neighbours to try
};

constexpr Index kPanelValues = 4;

struct ScoresView {         // sums of products of the scores of rows: see kernels/scores.hpp
    StepView step;          // EM step with Rule::soft and Second::none
    Second second;          // which products of z = W (x - mean) belong to the scores (trace, diagonal or full)
    bool is_shared;         // whether all components share one covariance
    const double* means;    // means of the components, (n_components, n_features)
    const double* factors;  // whitening factors W, (n_components or 1, n_features[, n_features])
    // Numbers of panels (4 values each): `n_each` counts the panels of one component within the scores S of a row,
    // `n_own` counts the panels of the scores c of one component, and `n_all` counts all panels of S (see
    // kernels/scores.hpp).
    Index n_each, n_own, n_all;
};

struct ErrorView {  // covariances of the measurement errors of rows; if `data` is null, there are no errors
    const double* data;
    // If `is_full` is true, `data` holds matrices, (n_rows, n_features, n_features); otherwise, `data` holds variances,
    // (n_rows, n_features).
    bool is_full;
    Index row_stride, stride, column_stride;
};

struct IncompleteView {  // rows with missing values (NaN) or with measurement errors
    Shape shape;         // shape with triangular factors; moments are taken about the means
    // rows without `origin`; if no row has measurement errors, rows are sorted by their patterns of missing values
    RowsView rows;
    RowWeightView row_weight;
    PriorView prior;
    ErrorView error;
    // for each visited row, (n_rows,), the index of its pattern of missing values within the leaf; null if rows have
    // measurement errors
    const std::uint16_t* pattern;
};

struct MomentsView {  // arrays to which `unpack` writes; `second` is null for Second::none
    double* log_likelihood;
    // number of rows that are so far from every mean that rounding errors of squared distances hide the differences
    // between components
    double* n_distant;
    double* n_active;  // number of nonzero responsibilities, estimated from every 16th group of rows
    double* mass;
    double* first;
    double* second;
    double* noise = nullptr;  // total responsibility of the noise component, or null
};

constexpr Index kDrawnAtOnce = 32;  // number of rows of one component that are drawn together

struct DrawView {  // random rows of a mixture; each row depends only on a key and on its index
    Shape shape;
    const double* means;    // means of the components, (n_components, n_features)
    const double* factors;  // whitening factors, in the same layouts as in ParametersView
    // cumulative weights, (n_components,): a uniform random number u selects the first component whose entry exceeds u
    const double* cumulative;
    // (n_buckets,), where entry i is the component for u = i / n_buckets; the search for a slightly larger u begins at
    // this component
    const std::int32_t* guide;
    Index n_buckets;  // number of entries of `guide`, a power of two
    std::uint64_t key;
    double* rows;  // output: random rows, (n_rows, n_features)
    std::int64_t* labels;
};

struct DrawScratch {
    Index* starts;   // (n_components + 1,), position in `order` of each component's first row, and the end of `order`
    Index* order;    // row indices sorted by component, one for each row of a call of the kernel
    double* lanes;   // kDrawnAtOnce * (n_features + 1) numbers, aligned to a cache line
    double* scales;  // (n_features + n_factors,), factors of a draw that depend only on the component
};

// The following functions return sizes of scratch memory, in doubles: `principal_axes_scratch` for the axes of a single
// matrix, and `shared_axes_scratch` for axes that several scatter matrices share. Vectors are padded to a multiple of
// eight numbers.
constexpr Index padded_to_lanes(Index count) { return (count + 7) / 8 * 8; }
constexpr Index principal_axes_scratch(Index n_features) {
    return (n_features + 1) * padded_to_lanes(n_features) + 2 * n_features;
}
constexpr Index shared_axes_scratch(Index n_components, Index n_features) {
    return (n_components + 2) * n_features * padded_to_lanes(n_features) +
           (n_features + 2) * padded_to_lanes(n_components) + 2 * n_features;
}

struct ScattersView {  // scatter matrices S_k and their weights c_k: see kernels/shared_axes.hpp
    Index n_components, n_features;
    const double* data;        // scatter matrices S_k, (n_components, n_features, n_features)
    const double* importance;  // weights c_k, (n_components,); if null, c_k = |diag(D' S_k D)|^(1/d)
};

// Limits of sweeps over shared axes. A sweep rotates every pair of axes once.
struct SweepLimits {
    int max_sweeps;
    // From the sweep `kMinSweeps` (kernels/shared_axes.hpp) on, a sweep must gain at least this fraction of the gain of
    // all sweeps so far; otherwise, no sweep follows. If the fraction is 0, sweeps continue until no rotation gains
    // anything.
    double min_fraction;
};

// Callback that checks whether a pass must be stopped early. Long loops call `ask` at intervals. If `ask` returns true,
// the results written so far must not be used.
struct Listener {
    bool (*ask)(void* self);
    void* self;
};

struct Sizes {
    Index operands, scratch;  // sizes in bytes, because the element type is private to the kernels
    Index sums;               // size in doubles
};

struct StepKernels {
    Sizes (*sizes)(const Shape&) noexcept;
    // Packs the parameters into the layout that the kernels read. Packing runs once per call, and the threads of the
    // call share the result.
    void (*pack)(const Shape&, const ParametersView&, void* operands) noexcept;
    // Adds the moments of rows first..last-1 to `sums`, tile by tile; `first` is a multiple of kTileRows. Returns the
    // index of the first row that was not added, which is `last` unless the step was stopped early.
    Index (*step)(const StepView&, const void* operands, Index first, Index last, Listener, void* scratch,
                  double* sums) noexcept;
    // Adds the sums of a span to the total, and clears the span's sums.
    void (*merge)(const Shape&, double* span, double* total) noexcept;
    void (*unpack)(const Shape&, const double* sums, MomentsView) noexcept;
};

struct IncompleteKernels {
    Sizes (*sizes)(const Shape&, bool has_errors) noexcept;
    Index (*pack_scratch)(Index n_features);  // returns a size in doubles
    // The member `log_scale` of the parameters holds the logarithms of the components' weights.
    void (*pack)(const Shape&, const ParametersView&, Listener, double* scratch, void* operands) noexcept;
    Index (*order_scratch)(Index n_features, Index n_rows) noexcept;  // returns a size in bytes
    // Sorts the rows of one leaf, first..last-1, by their patterns of missing values.
    void (*order)(const RowsView&, Index first, Index last, Listener, void* scratch, std::uint16_t* indices,
                  std::uint16_t* pattern) noexcept;
    // Has the same contract as `step` in StepKernels, but `first` may be any row.
    Index (*step)(const IncompleteView&, const void* operands, Index first, Index last, Listener, void* scratch,
                  double* sums) noexcept;
    void (*merge)(const Shape&, double* span, double* total) noexcept;
    void (*unpack)(const Shape&, const double* sums, MomentsView) noexcept;
    // Writes log p(x, k), the joint log density of row x and component k, for rows first..last-1.
    void (*evaluate)(const IncompleteView&, const void* operands, Index first, Index last, Listener, void* scratch,
                     double* out) noexcept;
    // Writes the conditional means and covariances of the latent rows (see incomplete.hpp), given the observed values.
    void (*denoise)(const IncompleteView&, const void* operands, Index first, Index last, Listener, void* scratch,
                    double* means, double* covariances) noexcept;
};

struct TruncatedKernels {  // the functions have the same contracts as the functions of StepKernels
    Sizes (*sizes)(const TruncatedView&) noexcept;
    void (*pack)(const TruncatedView&, const ParametersView&, void* operands) noexcept;
    Index (*step)(const TruncatedView&, const void* operands, Index first, Index last, Listener, void* scratch,
                  double* sums) noexcept;
};

struct ScoreKernels {
    Sizes (*sizes)(const ScoresView&) noexcept;
    // Adds the products of scores of rows first..last-1 to `sums`; operands are packed as for StepKernels.
    void (*add)(const ScoresView&, const void* operands, Index first, Index last, Listener, void* scratch,
                double* sums) noexcept;
};

struct KernelTable {
    const char* isa;
    StepKernels complete;  // for complete rows
    TruncatedKernels truncated;
    ScoreKernels scores;
    const IncompleteKernels* incomplete;
    // Writes rows first..last-1 of `out`, which holds doubles, or int64 for Output::labels. For
    // Output::responsibilities_and_log_density, all responsibilities precede all log densities. If `unpacked` is not
    // null, `unpacked` holds triangular factors, which are packed one at a time into the same memory.
    void (*evaluate)(const Shape&, const RowsView&, Output, void* operands, const double* unpacked, Index first,
                     Index last, Listener, void* scratch, void* out) noexcept;
    // Computes the whitening factor of one covariance and its log |det|. Returns false if the covariance is not
    // positive definite.
    bool (*factorise)(Index n_features, const double* covariance, Listener, double* scratch, double* factor,
                      double* log_abs_det) noexcept;
    // Computes the eigenvalues of a positive semidefinite matrix, largest first, and its eigenvectors in columns. If an
    // entry of the matrix is not finite, the eigenvectors of the zero matrix are returned.
    void (*principal_axes)(Index n_features, const double* matrix, Listener, double* scratch, double* spectrum,
                           double* axes) noexcept;
    // Rotates the columns of `axes` so that they fit all scatter matrices as well as the limits allow.
    void (*shared_axes)(const ScattersView&, SweepLimits, Listener, double* scratch, double* axes) noexcept;
    // Measures how far each component moved from one pass to the next, and writes the arrays `ratio` and `shift`,
    // (n_components,). `scratch` must have room for n_features numbers.
    void (*measure_motion)(const Shape&, const ParametersView& before, const ParametersView& after, Listener,
                           double* scratch, float* ratio, float* shift) noexcept;
    // Draws rows first..last-1, where `first` is a multiple of 16.
    void (*draw)(const DrawView&, Index first, Index last, Listener, const DrawScratch&) noexcept;
    // Computes two normally distributed numbers from every four 32-bit words of random bits.
    void (*normals)(const std::uint32_t* words, Index count, double* out) noexcept;
    // Computes natural logarithms. The logarithm of 0 is -inf, and the logarithm of a negative number is NaN.
    void (*log)(const double* values, Index count, double* out) noexcept;
};

}  // namespace gaussmix
