"""Gaussian mixture kernels: moments, densities and small factorisations."""

from collections.abc import Callable

import numpy
import numpy.typing

TILE_ROWS: int = 144

GROUP_ROWS: int = 24

LEAF_ROWS: int = 65520

OBJECTIVE_ROUNDING: float = 1e-10

MIN_PATIENCE: int = 4

SPLIT_ROWS: int = 4

OVERFIT: float = 0.5

STEPS_AFTER_BIRTHS: int = 6

ROUNDING_OF_BOUND: float = 1e-09

LOSS_OF_DELETION: float = 0.001

ROWS_PER_PARAMETER: float = 3.0

MAX_AXES_COMPONENTS: int = 8

MAX_SWEEPS: int = 1000

POOLED_AXES_FACTOR: float = 0.5

OWN_AXES_FACTOR: float = 4.0

class Target:
    """The kernels compiled for one instruction set."""

    @property
    def isa(self) -> str:
        """Name of the instruction set, a value of GAUSSMIX_ISA."""

    def step(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        row_weight: numpy.typing.NDArray[numpy.float64] | None,
        assignment: numpy.typing.NDArray[numpy.int32] | numpy.typing.NDArray[numpy.float64] | None,
        origin: numpy.typing.NDArray[numpy.float64] | None,
        log_scale: numpy.typing.NDArray[numpy.float64] | None,
        means: numpy.typing.NDArray[numpy.float64] | None,
        factor_shape: int,
        factors: numpy.typing.NDArray[numpy.float64] | None,
        anchor: numpy.typing.NDArray[numpy.float64] | None,
        rule: int,
        second: int,
        n_threads: int,
        order: numpy.typing.NDArray[numpy.uint16] | None = None,
        labels: numpy.typing.NDArray[numpy.uint16] | None = None,
        bounds: numpy.typing.NDArray[numpy.float32] | None = None,
        motion: numpy.typing.NDArray[numpy.float32] | None = None,
        projection: numpy.typing.NDArray[numpy.float64] | None = None,
        log_prior: numpy.typing.NDArray[numpy.float64] | None = None,
        prior_indices: numpy.typing.NDArray[numpy.int32] | None = None,
        log_noise_density: float = float("-inf"),
    ) -> tuple[
        float,
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64] | None,
        int,
        int,
        float,
    ]:
        """
        Sum weighted moments: (log_likelihood, mass, first, second, n_distant, n_active, mass of noise).
        """

    def evaluate(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        origin: numpy.typing.NDArray[numpy.float64] | None,
        log_scale: numpy.typing.NDArray[numpy.float64],
        means: numpy.typing.NDArray[numpy.float64],
        factor_shape: int,
        factors: numpy.typing.NDArray[numpy.float64] | None,
        output: int,
        n_threads: int,
        log_noise_density: float = float("-inf"),
    ) -> numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.int64]:
        """
        Return log density, responsibilities, weighted log densities or label of each row.
        """

    def score_products(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        row_weight: numpy.typing.NDArray[numpy.float64] | None,
        log_scale: numpy.typing.NDArray[numpy.float64],
        means: numpy.typing.NDArray[numpy.float64],
        factor_shape: int,
        factors: numpy.typing.NDArray[numpy.float64] | None,
        log_prior: numpy.typing.NDArray[numpy.float64] | None,
        prior_indices: numpy.typing.NDArray[numpy.int32] | None,
        log_noise_density: float,
        whitening: numpy.typing.NDArray[numpy.float64],
        second: int,
        order: numpy.typing.NDArray[numpy.uint16] | None,
        n_threads: int,
    ) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
        """
        Sum products of scores, in panels of four: (over all components, for each component).
        """

    def measure_motion(
        self,
        factor_shape: int,
        means_before: numpy.typing.NDArray[numpy.float64],
        factors_before: numpy.typing.NDArray[numpy.float64] | None,
        means_after: numpy.typing.NDArray[numpy.float64],
        factors_after: numpy.typing.NDArray[numpy.float64] | None,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        Measure how components moved between two steps, to move `bounds` in the second: (2, n_components).
        """

    def work_per_row(self, factor_shape: int, n_components: int, n_features: int, n_factors: int = 0) -> float:
        """
        Estimate the multiply-adds of a step for each row, where an exponential counts as 20.
        """

    def factorise(
        self, covariances: numpy.typing.NDArray[numpy.float64]
    ) -> tuple[
        numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.bool_]
    ]:
        """
        Compute whitening factors W (W' W is the inverse), log |det W|, and flags of failed covariances.
        """

    def factorise_low_rank(
        self, covariances: numpy.typing.NDArray[numpy.float64]
    ) -> tuple[
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.bool_],
    ]:
        """
        Compute whitening factors W of [loadings | noise], log |det W|, posteriors of factors, and failures.
        """

    def gram(self, factors: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
        """Return W' W of each factor W, (n, n_features, n_features)."""

    def principal_axes(
        self, matrices: numpy.typing.NDArray[numpy.float64]
    ) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
        """
        Compute eigenvalues of positive semidefinite matrices, largest first, and eigenvectors in columns.
        """

    def shared_axes(
        self,
        scatters: numpy.typing.NDArray[numpy.float64],
        start: numpy.typing.NDArray[numpy.float64],
        importance: numpy.typing.NDArray[numpy.float64] | None,
        max_sweeps: int,
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        Return axes near `start`, in columns, that scatters share best; None weights them by volumes.
        """

    def log(self, values: numpy.typing.NDArray[numpy.float64]) -> numpy.typing.NDArray[numpy.float64]:
        """Return natural logarithms, with the same bits on every processor."""

    def gammas(
        self, values: numpy.typing.NDArray[numpy.float64]
    ) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
        """
        Return the logarithm of the gamma function of positive numbers, and its derivative.
        """

    def update(
        self,
        algebra: tuple[int, int, int],
        mass: numpy.typing.NDArray[numpy.float64],
        second: numpy.typing.NDArray[numpy.float64],
        n_features: int,
        current: numpy.typing.NDArray[numpy.float64] | None,
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        Compute covariances of a structure from the scatter about the new means.
        """

    def update_factors(
        self,
        has_shared_loadings: bool,
        mass: numpy.typing.NDArray[numpy.float64],
        second: numpy.typing.NDArray[numpy.float64],
        current: numpy.typing.NDArray[numpy.float64],
        projections: numpy.typing.NDArray[numpy.float64],
        posterior_covariances: numpy.typing.NDArray[numpy.float64],
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        Compute covariances [loadings | noise] of factor analysers from projected second moments.
        """

    def other_covariances(
        self,
        algebra: tuple[int, int, int],
        mass: numpy.typing.NDArray[numpy.float64],
        second: numpy.typing.NDArray[numpy.float64],
        n_features: int,
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        Compute covariances along other axes, if components share axes: (n, size).
        """

    def draw(
        self,
        cumulative: numpy.typing.NDArray[numpy.float64],
        means: numpy.typing.NDArray[numpy.float64],
        factor_shape: int,
        factors: numpy.typing.NDArray[numpy.float64] | None,
        key: int,
        rows: numpy.typing.NDArray[numpy.float64],
        labels: numpy.typing.NDArray[numpy.int64],
        n_threads: int,
    ) -> None:
        """
        Fill rows and labels with draws of a mixture, functions of the key and of the row's index.
        """

    def normals(self, words: numpy.typing.NDArray[numpy.uint32]) -> numpy.typing.NDArray[numpy.float64]:
        """
        Make two standard normal numbers from each four words of random bits (n, 4), by Box and Muller.
        """

    def improve_column(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        row_weight: numpy.typing.NDArray[numpy.float64] | None,
        algebra: tuple[int, int, int],
        weights: numpy.typing.NDArray[numpy.float64],
        means: numpy.typing.NDArray[numpy.float64],
        covariances: numpy.typing.NDArray[numpy.float64],
        ridge: numpy.typing.NDArray[numpy.float64],
        limits: tuple[float, float, float, float],
        tolerance: float,
        max_steps: int,
        seconds: float,
        min_step_gain: float,
        max_components: int,
        uniform: numpy.typing.NDArray[numpy.float64],
        prior: tuple[
            bool,
            float,
            int,
            numpy.typing.NDArray[numpy.float64],
            float,
            float,
            numpy.typing.NDArray[numpy.float64],
            numpy.typing.NDArray[numpy.float64] | None,
            float,
            float,
            float,
            bool,
            bool,
        ],
    ) -> tuple[
        float,
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
    ]:
        """
        Raise the bound of one feature by moves and EM, and return (bound, weights, means, covariances).
        """

    def find_merges(
        self,
        algebra: tuple[int, int, int],
        weights: numpy.typing.NDArray[numpy.float64],
        means: numpy.typing.NDArray[numpy.float64],
        covariances: numpy.typing.NDArray[numpy.float64],
        prior: tuple[
            bool,
            float,
            int,
            numpy.typing.NDArray[numpy.float64],
            float,
            float,
            numpy.typing.NDArray[numpy.float64],
            numpy.typing.NDArray[numpy.float64] | None,
            float,
            float,
            float,
            bool,
            bool,
        ],
    ) -> tuple[
        numpy.typing.NDArray[numpy.int64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
    ]:
        """
        Find merges of variational Bayes, none if a covariance is singular: (pairs, limits of gains, means, scales).
        """

    def merge_sums(
        self,
        responsibilities: numpy.typing.NDArray[numpy.float64],
        row_weight: numpy.typing.NDArray[numpy.float64],
        pairs: numpy.typing.NDArray[numpy.int64],
        candidates: numpy.typing.NDArray[numpy.int64],
    ) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
        """
        Return sums over rows for merges of pairs and for deletions of candidates: (entropy, log_complement).
        """

    def split_components(
        self,
        rows: numpy.typing.NDArray[numpy.float64],
        weight: numpy.typing.NDArray[numpy.float64],
        is_complete: numpy.typing.NDArray[numpy.bool],
        scale: numpy.typing.NDArray[numpy.float64],
        algebra: tuple[int, int, int],
        labels: numpy.typing.NDArray[numpy.int64],
        components: numpy.typing.NDArray[numpy.int64],
        uniform: numpy.typing.NDArray[numpy.float64],
    ) -> tuple[
        numpy.typing.NDArray[numpy.int64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
    ]:
        """
        Split components in two, based on their rows: (components, weights, means, covariances) of all halves.
        """

    def run_em(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        row_weight: numpy.typing.NDArray[numpy.float64] | None,
        total_weight: float,
        algebra: tuple[int, int, int],
        weights: numpy.typing.NDArray[numpy.float64],
        means: numpy.typing.NDArray[numpy.float64],
        covariances: numpy.typing.NDArray[numpy.float64],
        centre: numpy.typing.NDArray[numpy.float64] | None,
        total: numpy.typing.NDArray[numpy.float64] | None,
        ridge: numpy.typing.NDArray[numpy.float64],
        limits: tuple[float, float, float, float],
        tolerance: float,
        previous_objective: float,
        max_steps: int,
        seconds: float,
        prior: tuple[
            bool,
            float,
            int,
            numpy.typing.NDArray[numpy.float64],
            float,
            float,
            numpy.typing.NDArray[numpy.float64],
            numpy.typing.NDArray[numpy.float64] | None,
            float,
            float,
            float,
            bool,
            bool,
        ]
        | None,
        incompleteness: tuple[bool, numpy.typing.NDArray[numpy.float64] | None],
        log_prior: numpy.typing.NDArray[numpy.float64] | None,
        prior_indices: numpy.typing.NDArray[numpy.int32] | None,
        n_threads: int,
        log_noise_volume: float = float("inf"),
    ) -> tuple[
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
    ]:
        """
        Make EM steps, change the mixture in place; return (log_likelihood, objective, factors, log_abs_det).
        """

    def search(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        row_weight: numpy.typing.NDArray[numpy.float64] | None,
        algebra: tuple[int, int, int],
        weights: numpy.typing.NDArray[numpy.float64],
        means: numpy.typing.NDArray[numpy.float64],
        covariances: numpy.typing.NDArray[numpy.float64],
        ridge: numpy.typing.NDArray[numpy.float64],
        limits: tuple[float, float, float, float],
        unit: numpy.typing.NDArray[numpy.float64] | None,
        packed_search: tuple[
            numpy.typing.NDArray[numpy.float64],
            tuple[int, int, float],
            tuple[float, int],
            tuple[float, int],
            tuple[float, int],
            tuple[
                tuple[float, int],
                tuple[float, int],
                tuple[float, int],
                tuple[float, int],
                float,
                float,
                float,
                float,
                float,
                float,
            ],
            int,
            int,
            int,
            int,
            int,
            int,
            int,
            int,
            float,
            float,
            int,
            float,
            float,
            int,
            int,
        ],
        n_steps: int,
        should_stop: Callable[[], bool],
        n_threads: int,
    ) -> tuple[bool, numpy.typing.NDArray[numpy.float64], float, float]:
        """
        Move components if it helps; return (has_result, rows and log_likelihood of starts, n_tried, n_accepted).
        """

    def least_gain(
        self,
        algebra: tuple[int, int, int],
        n_features: int,
        weights: numpy.typing.NDArray[numpy.float64],
        weights_without: numpy.typing.NDArray[numpy.float64],
        n_rows: int,
    ) -> float:
        """
        Return the gain of a search, in nats per row, above which the gain is probably not due to chance.
        """

    def split_with_shared_covariance(
        self,
        rows: numpy.typing.NDArray[numpy.float64],
        row_weight: numpy.typing.NDArray[numpy.float64],
        algebra: tuple[int, int, int],
        covariance: numpy.typing.NDArray[numpy.float64],
        mass: float,
        uniform: numpy.typing.NDArray[numpy.float64],
    ) -> tuple[float, numpy.typing.NDArray[numpy.float64]]:
        """
        Split a component; return (bound on the gain in nats, responsibilities of the first half).
        """

    def merge_gain_with_shared_covariance(
        self,
        gap: numpy.typing.NDArray[numpy.float64],
        one: float,
        other: float,
        algebra: tuple[int, int, int],
        covariance: numpy.typing.NDArray[numpy.float64],
    ) -> float:
        """
        Return the change of sum r log(pi N) by a merge of two components, in nats.
        """

    def fit_many(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        row_weight: numpy.typing.NDArray[numpy.float64] | None,
        ranges: tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64]],
        first_weight: numpy.typing.NDArray[numpy.int64] | None,
        weights: tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]],
        limits: tuple[float, float, float, float],
        settings: tuple[
            tuple[int, int, int],
            int,
            tuple[int, numpy.typing.NDArray[numpy.float64], int, float, bool]
            | tuple[
                numpy.typing.NDArray[numpy.float64],
                numpy.typing.NDArray[numpy.float64],
                numpy.typing.NDArray[numpy.float64],
            ]
            | numpy.typing.NDArray[numpy.int32]
            | numpy.typing.NDArray[numpy.float64],
            tuple[
                numpy.typing.NDArray[numpy.float64] | None,
                float,
                int,
                float,
                tuple[
                    bool,
                    float,
                    int,
                    numpy.typing.NDArray[numpy.float64],
                    float,
                    float,
                    numpy.typing.NDArray[numpy.float64],
                    numpy.typing.NDArray[numpy.float64] | None,
                    float,
                    float,
                    float,
                    bool,
                    bool,
                ]
                | None,
                float,
            ],
            float,
            float,
            float,
            tuple[
                numpy.typing.NDArray[numpy.float64],
                tuple[int, int, float],
                tuple[float, int],
                tuple[float, int],
                tuple[float, int],
                tuple[
                    tuple[float, int],
                    tuple[float, int],
                    tuple[float, int],
                    tuple[float, int],
                    float,
                    float,
                    float,
                    float,
                    float,
                    float,
                ],
                int,
                int,
                int,
                int,
                int,
                int,
                int,
                int,
                float,
                float,
                int,
                float,
                float,
                int,
                int,
            ]
            | None,
            numpy.typing.NDArray[numpy.float64] | None,
        ],
        seconds: float,
        incompleteness: tuple[bool, numpy.typing.NDArray[numpy.float64] | None],
        n_threads: int,
    ) -> tuple[
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.int64],
        numpy.typing.NDArray[numpy.bool_],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
    ]:
        """
        Fit a mixture to each of many groups: values of engines.calls.GroupFits, and factors.
        """

    def step_incomplete(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        row_weight: numpy.typing.NDArray[numpy.float64] | None,
        log_prior: numpy.typing.NDArray[numpy.float64] | None,
        prior_indices: numpy.typing.NDArray[numpy.int32] | None,
        error: numpy.typing.NDArray[numpy.float64] | None,
        log_weight: numpy.typing.NDArray[numpy.float64],
        means: numpy.typing.NDArray[numpy.float64],
        factors: numpy.typing.NDArray[numpy.float64],
        log_noise_density: float,
        second: int,
        n_threads: int,
    ) -> tuple[
        float,
        numpy.typing.NDArray[numpy.float64],
        float,
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64] | None,
    ]:
        """
        Sum moments of incomplete rows about the means: (log_likelihood, mass, mass of noise, first, second).
        """

    def evaluate_incomplete(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        log_prior: numpy.typing.NDArray[numpy.float64] | None,
        prior_indices: numpy.typing.NDArray[numpy.int32] | None,
        error: numpy.typing.NDArray[numpy.float64] | None,
        log_weight: numpy.typing.NDArray[numpy.float64],
        means: numpy.typing.NDArray[numpy.float64],
        factors: numpy.typing.NDArray[numpy.float64],
        n_threads: int,
    ) -> numpy.typing.NDArray[numpy.float64]:
        """Return log p(x, k) of rows with missing values or errors."""

    def denoise(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        log_prior: numpy.typing.NDArray[numpy.float64] | None,
        prior_indices: numpy.typing.NDArray[numpy.int32] | None,
        error: numpy.typing.NDArray[numpy.float64] | None,
        log_weight: numpy.typing.NDArray[numpy.float64],
        means: numpy.typing.NDArray[numpy.float64],
        factors: numpy.typing.NDArray[numpy.float64],
        n_threads: int,
    ) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64]]:
        """
        Return means and covariances of the true rows, given the observed values.
        """

    def distinct_rows(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        row_weight: numpy.typing.NDArray[numpy.float64] | None,
    ) -> tuple[
        numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.int64]
    ]:
        """
        Return distinct rows in lexicographic order: (rows, weight, distinct_index).
        """

    def trimmed_variances(
        self, rows: numpy.typing.NDArray[numpy.float64], weight: numpy.typing.NDArray[numpy.float64], dropped: float
    ) -> numpy.typing.NDArray[numpy.float64]:
        """Return variances of columns without some weight at each end."""

    def seed_centres(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        row_weight: numpy.typing.NDArray[numpy.float64],
        n_components: int,
        n_candidates: int,
        uniform: numpy.typing.NDArray[numpy.float64],
    ) -> numpy.typing.NDArray[numpy.int64]:
        """Return indices of distant rows, drawn by greedy k-means++."""

    def partition_cells(
        self, rows: numpy.typing.NDArray[numpy.float64], weight: numpy.typing.NDArray[numpy.float64], n_cells: int
    ) -> numpy.typing.NDArray[numpy.int32]:
        """Divide rows into cells of near rows, numbered in the order of a tree."""

    def move_centres(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        row_weight: numpy.typing.NDArray[numpy.float64] | None,
        centres: numpy.typing.NDArray[numpy.float64],
        tolerance: float,
        max_passes: int,
        seconds: float,
        n_threads: int,
    ) -> int:
        """
        Move centres in place by k-means, until a limit or an empty centre; return the number of passes left.
        """

    def relocate_centres(
        self,
        rows: numpy.typing.NDArray[numpy.float64],
        row_weight: numpy.typing.NDArray[numpy.float64],
        centres: numpy.typing.NDArray[numpy.float64],
        tolerance: float,
        max_passes: int,
        seconds: float,
        n_threads: int,
    ) -> None:
        """Relocate misplaced centres of k-means in place, and run k-means again."""

    def step_truncated(
        self,
        rows: numpy.typing.NDArray[numpy.float64] | numpy.typing.NDArray[numpy.float32],
        row_weight: numpy.typing.NDArray[numpy.float64] | None,
        log_scale: numpy.typing.NDArray[numpy.float64] | None,
        means: numpy.typing.NDArray[numpy.float64] | None,
        factor_shape: int,
        factors: numpy.typing.NDArray[numpy.float64] | None,
        anchor: numpy.typing.NDArray[numpy.float64] | None,
        rule: int,
        second: int,
        projection: numpy.typing.NDArray[numpy.float64] | None,
        log_prior: numpy.typing.NDArray[numpy.float64] | None,
        prior_indices: numpy.typing.NDArray[numpy.int32] | None,
        log_noise_density: float,
        candidates: numpy.typing.NDArray[numpy.int32],
        neighbours: numpy.typing.NDArray[numpy.int32],
        rank: numpy.typing.NDArray[numpy.int32],
        n_expanded: int,
        n_tried: int,
        n_drawn: int,
        first_row: int,
        key: int,
        n_threads: int,
    ) -> tuple[
        float,
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.float64] | None,
        float,
    ]:
        """
        Update the candidates of rows and sum moments: (free energy, mass, first, second, mass of noise).
        """

    def list_neighbours(
        self,
        near: numpy.typing.NDArray[numpy.int32],
        sampled: numpy.typing.NDArray[numpy.int32],
        n_neighbours: int,
        n_threads: int,
    ) -> numpy.typing.NDArray[numpy.int32]:
        """
        List the neighbours of each component: near components, then components that overlap.
        """

def targets() -> list[Target]:
    """Return the kernels that this processor can run, slowest first."""

def active() -> Target:
    """Return the fastest kernels, or the kernels that GAUSSMIX_ISA names."""

def omitted() -> str:
    """
    Return the name of faster kernels for this processor that the build left out, or ''.
    """

def end_gil_requests() -> None:
    """
    Let only this thread request the GIL from now on, because the process is about to end.
    """
