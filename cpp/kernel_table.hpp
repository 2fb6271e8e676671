// The whole contract between the kernels, which are compiled once per instruction set, and the rest of the
// core: plain enumerators, pointers and sizes. Nothing here owns memory, and nothing instantiates `std`.
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

// A tile is what one pass keeps in L1: its lanes are added up in one fixed order, so the number of rows in it is
// part of the numerical contract. 18 vectors are within a point of the best size at every n_features measured.
constexpr Index kTileRows = 144;

// A matrix is singular if rounding decides its inverse: if S_jj (S^-1)_jj reaches this over n_features for some j.
constexpr double kMaxInflation = 0x1p49;  // 1 / (8 epsilon)

// Rows that are whitened together, and share their bounds.
constexpr Index kGroupRows = 24;

// A leaf: rows are put in order inside it, and the sums of leaves are merged in a binary tree.
constexpr Index kLeafRows = 455 * kTileRows;

enum class FactorShape { spherical, diagonal, triangular, low_rank };
enum class Rule { soft, hard, assignment };
enum class Second { none, trace, diagonal, full, projected };
enum class Output { log_density, responsibilities, weighted_log_density, labels, responsibilities_and_log_density };

struct RowsView {  // rows are read as `row - origin`; strides count elements and may be negative
    const void* data;
    bool is_float32;
    Index n_rows, n_features;
    Index row_stride, column_stride;
    const double* origin;        // (n_features,), or null for zero
    const std::uint16_t* order;  // (n_rows,), the place in its block of each visited row; null: in order
};

constexpr RowsView plain_rows(const double* rows, Index n_rows, Index n_features) {  // in C order
    return {rows, false, n_rows, n_features, n_features, 1, nullptr, nullptr};
}

struct RowWeightView {  // null data: every weight is 1
    const double* data;
    Index stride;
};

struct AssignmentView {  // one of the two, for Rule::assignment; both null otherwise
    const std::int32_t* labels;
    const double* responsibilities;
    Index row_stride, column_stride;
};

struct PriorView {  // what is known of the components of rows: at most 0, added to log densities; null table: nothing
    const double* table;  // (n_priors, n_columns): a column for each component, and perhaps one for the background
    Index row_stride, column_stride, n_columns;
    const std::int32_t* indices;  // (n_rows,), the row of the table for each row, -1 for none; null: a row for each
    Index index_stride;
};

struct ParametersView {       // log density of row x under k: log_scale_k - |W_k (x - mean_k)|^2 / 2
    const double* log_scale;  // (n_components,)
    const double* means;      // (n_components, n_features)
    const double* factors;    // W, by its shape: (n_components,), (n_components, n_features), triangles, or [F | w]
    const double* anchor;     // (n_components, n_features), the point of the moments; null with Second::none
    const double* projection =
        nullptr;  // B', (n_components, n_features, n_projected), with Second::projected; else null
    double log_background = -__builtin_inf();  // log density of the background at every row, with its weight
};

struct Shape {  // all that sizes and layouts depend on
    Index n_components, n_features;
    FactorShape factor_shape;
    bool is_shared;  // one triangular factor for all components
    Rule rule;
    Second second;
    Index n_factors = 0;    // columns of F, with FactorShape::low_rank
    Index n_projected = 0;  // rows of B, with Second::projected
};

struct VisitView {          // what one pass leaves for the next over the same rows; each may be null
    std::uint16_t* labels;  // (n_rows,), written: the likeliest component of each row
    float* bounds;          // (n_groups, n_components), moved, used and renewed: see kernels/bounds.hpp
    const float* ratio;     // (n_components,), how the bounds are moved first
    const float* shift;
};

struct StepView {
    Shape shape;
    RowsView rows;
    RowWeightView row_weight;
    AssignmentView assignment;
    VisitView visit;
    PriorView prior = {};  // with Rule::soft and Rule::hard
};

struct TruncatedView {  // a step in which each row is shared by few components: see kernels/truncated.hpp
    StepView step;  // Rule::soft or hard; rows of the same component follow each other; with Second::none no moments
    Index n_candidates, n_neighbours;
    Index n_expanded;  // candidates of each row, the first ones, whose neighbours are tried
    Index n_tried;     // neighbours of each that a pass tries
    Index first_row;
    std::int32_t* candidates;        // (n_rows, n_candidates), the likeliest first, then -1; read, and written
    const std::int32_t* neighbours;  // (n_components, n_neighbours), near each component; -1: none
    std::uint64_t key;               // decides which components by chance, and which neighbours
};

constexpr Index kPanelValues = 4;

struct ScoresView {              // products of the scores of rows: see kernels/scores.hpp
    StepView step;               // Rule::soft, Second::none
    Second second;               // trace, diagonal, full: which products of z are scores
    bool is_shared;              // all components have one covariance
    const double* means;         // (n_components, n_features)
    const double* factors;       // W, (n_components or 1, n_features[, n_features])
    Index n_each, n_own, n_all;  // panels: of each component in S, of c, and of S
};

struct ErrorView {  // covariances of the errors of rows; null data: none
    const double* data;
    bool is_full;  // (n_rows, n_features, n_features); otherwise variances, (n_rows, n_features)
    Index row_stride, stride, column_stride;
};

struct IncompleteView {  // rows with missing cells (NaN), or with errors
    Shape shape;         // triangular factors; means are the points of the moments
    RowsView rows;       // without an origin; without errors, in the order of their patterns
    RowWeightView row_weight;
    PriorView prior;
    ErrorView error;
    const std::uint16_t* pattern;  // (n_rows,), the number in its leaf of each visited row's pattern; null with errors
};

struct MomentsView {  // where `unpack` writes; second is null with Second::none
    double* log_likelihood;
    double* n_distant;  // rows too far from every mean for squared distances to tell components apart
    double* n_active;   // responsibilities that are not zero, estimated from one group of sixteen
    double* mass;
    double* first;
    double* second;
    double* background = nullptr;  // the mass of the background, if wanted
};

constexpr Index kDrawnAtOnce = 32;  // rows of one component

struct DrawView {  // rows of a mixture, as functions of a key and of their numbers
    Shape shape;
    const double* means;        // (n_components, n_features)
    const double* factors;      // as in ParametersView
    const double* cumulative;   // (n_components,): the first that exceeds a number of [0, 1) names the component
    const std::int32_t* guide;  // (n_buckets,): the component of i / n_buckets, where the search begins
    Index n_buckets;            // a power of two
    std::uint64_t key;
    double* rows;  // (n_rows, n_features)
    std::int64_t* labels;
};

struct DrawScratch {
    Index* starts;   // (n_components + 1,)
    Index* order;    // as many as there are rows in a call
    double* lanes;   // kDrawnAtOnce (n_features + 1), on a cache line's boundary
    double* scales;  // (n_features + n_factors,)
};

// Room for the axes of one matrix, and for those that scatters share, in doubles on a cache line's boundary: vectors
// are filled up to eight lanes.
constexpr Index filled_up(Index count) { return (count + 7) / 8 * 8; }
constexpr Index principal_axes_scratch(Index n_features) {
    return (n_features + 1) * filled_up(n_features) + 2 * n_features;
}
constexpr Index shared_axes_scratch(Index n_components, Index n_features) {
    return (n_features * n_features + 1) * filled_up(n_components) + n_features * (filled_up(n_features) + 1);
}

struct ScattersView {  // S_k, and c_k that weigh them: see kernels/shared_axes.hpp
    Index n_components, n_features;
    const double* data;        // (n_components, n_features, n_features)
    const double* importance;  // (n_components,), or null for c_k = |diag(D' S_k D)|^(1/d)
};

// Whether a pass is to be given up. Long loops ask it now and then, and what they have written by then is not used.
struct Listener {
    bool (*ask)(void* self);
    void* self;
};

struct Sizes {
    Index operands, scratch;  // in bytes: their type is the kernels' own
    Index sums;               // in doubles
};

struct StepKernels {
    Sizes (*sizes)(const Shape&) noexcept;
    // Arranges the parameters as the kernels read them; once a call, shared by its threads.
    void (*pack)(const Shape&, const ParametersView&, void* operands) noexcept;
    // Adds rows first..last-1 to `sums`, tile by tile; `first` is a multiple of kTileRows. Returns the row before which
    // it stopped: `last`, or where it gave up.
    Index (*step)(const StepView&, const void* operands, Index first, Index last, Listener, void* scratch,
                  double* sums) noexcept;
    // Adds the sums of a span to the total, and clears them.
    void (*merge)(const Shape&, double* span, double* total) noexcept;
    void (*unpack)(const Shape&, const double* sums, MomentsView) noexcept;
};

struct IncompleteKernels {
    Sizes (*sizes)(const Shape&, bool has_errors) noexcept;
    Index (*pack_scratch)(Index n_features);  // in doubles
    // Of `parameters`, log_scale are the logarithms of the weights.
    void (*pack)(const Shape&, const ParametersView&, Listener, double* scratch, void* operands) noexcept;
    Index (*order_scratch)(Index n_features, Index n_rows) noexcept;  // in bytes
    // Puts rows first..last-1, those of a leaf, in the order of their patterns.
    void (*order)(const RowsView&, Index first, Index last, Listener, void* scratch, std::uint16_t* indices,
                  std::uint16_t* pattern) noexcept;
    // As those of StepKernels; `first` may be any.
    Index (*step)(const IncompleteView&, const void* operands, Index first, Index last, Listener, void* scratch,
                  double* sums) noexcept;
    void (*merge)(const Shape&, double* span, double* total) noexcept;
    void (*unpack)(const Shape&, const double* sums, MomentsView) noexcept;
    // Writes log p(x, k) of rows first..last-1.
    void (*evaluate)(const IncompleteView&, const void* operands, Index first, Index last, Listener, void* scratch,
                     double* out) noexcept;
    // Writes means and covariances of the true rows.
    void (*denoise)(const IncompleteView&, const void* operands, Index first, Index last, Listener, void* scratch,
                    double* means, double* covariances) noexcept;
};

struct TruncatedKernels {  // as those of StepKernels
    Sizes (*sizes)(const TruncatedView&) noexcept;
    Index (*step)(const TruncatedView&, const void* operands, Index first, Index last, Listener, void* scratch,
                  double* sums) noexcept;
};

struct ScoreKernels {
    Sizes (*sizes)(const ScoresView&) noexcept;
    // Adds rows first..last-1 to `sums`; operands as for StepKernels.
    void (*add)(const ScoresView&, const void* operands, Index first, Index last, Listener, void* scratch,
                double* sums) noexcept;
};

struct KernelTable {
    const char* isa;
    StepKernels of_step;
    TruncatedKernels truncated;
    ScoreKernels scores;
    const IncompleteKernels* incomplete;
    // Writes rows first..last-1 of `out`: double, or int64 for Output::labels. All responsibilities come before all log
    // densities. `unpacked`, if given, holds triangular factors, which are packed one after the other in the place of
    // the first.
    void (*evaluate)(const Shape&, const RowsView&, Output, void* operands, const double* unpacked, Index first,
                     Index last, Listener, void* scratch, void* out) noexcept;
    // Whitening factor of one covariance and its log |det|; false where the covariance is not positive definite.
    bool (*factorise)(Index n_features, const double* covariance, Listener, double* scratch, double* factor,
                      double* log_abs_det) noexcept;
    // Eigenvalues of a positive semidefinite matrix, largest first, and eigenvectors in columns; of 0 where a number is
    // not finite.
    void (*principal_axes)(Index n_features, const double* matrix, Listener, double* scratch, double* spectrum,
                           double* axes) noexcept;
    // Turns axes, in columns, to those that scatters share best; at most so many sweeps over all pairs.
    void (*shared_axes)(const ScattersView&, int max_sweeps, Listener, double* scratch, double* axes) noexcept;
    // How components moved from one pass to the next: (n_components,) each. `scratch` has room for n_features.
    void (*measure_motion)(const Shape&, const ParametersView& before, const ParametersView& after, Listener,
                           double* scratch, float* ratio, float* shift) noexcept;
    // Draws rows first..last-1, where `first` is a multiple of 16.
    void (*draw)(const DrawView&, Index first, Index last, Listener, const DrawScratch&) noexcept;
    // Two normal numbers of each four words of random bits.
    void (*normals)(const std::uint32_t* words, Index count, double* out) noexcept;
    // Natural logarithms: -inf of 0, NaN of what is negative.
    void (*log)(const double* values, Index count, double* out) noexcept;
};

}  // namespace gaussmix
