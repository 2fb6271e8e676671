"""Mixture distributions and their methods. A module that only one method uses is imported when the method is called."""

from typing import TYPE_CHECKING

from gaussmix._src.lazy import modules

MIN_OVERLAP = 0.025  # default of `min_overlap`: smallest overlap at which two clusters count as overlapping

if TYPE_CHECKING:
    from gaussmix._src.mixture import conversion as conversion
    from gaussmix._src.mixture import html as html
    from gaussmix._src.mixture import levels as levels
    from gaussmix._src.mixture import sampling as sampling
    from gaussmix._src.mixture import sparse as sparse
    from gaussmix._src.mixture import words as words
    from gaussmix._src.mixture.compare import distances as distances
    from gaussmix._src.mixture.compare import divergences as divergences
    from gaussmix._src.mixture.compare import ordering as ordering
    from gaussmix._src.mixture.compare import reduction as reduction
    from gaussmix._src.mixture.masses import rectangles as rectangles
    from gaussmix._src.mixture.parts import combining as combining
    from gaussmix._src.mixture.parts import conditioning as conditioning
    from gaussmix._src.mixture.parts import expectations as expectations
    from gaussmix._src.mixture.parts import modality as modality
    from gaussmix._src.mixture.univariate import level_sets as level_sets
else:
    __getattr__ = modules(
        __name__,
        "conversion html levels sampling sparse words compare.distances compare.divergences compare.ordering "
        "compare.reduction univariate.level_sets masses.rectangles parts.combining parts.conditioning "
        "parts.expectations parts.modality",
    )
