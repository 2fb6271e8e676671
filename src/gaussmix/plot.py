"""Plots of mixtures, which have the interface of scikit-learn's display classes.

Plots need matplotlib, which `pip install 'gaussmix[plot]'` installs.
"""

from gaussmix._src.plot.component_display import ComponentDisplay
from gaussmix._src.plot.conditional_display import ConditionalDisplay
from gaussmix._src.plot.convergence_display import ConvergenceDisplay
from gaussmix._src.plot.coverage_display import CoverageDisplay
from gaussmix._src.plot.criterion_display import CriterionDisplay
from gaussmix._src.plot.decision_region_display import DecisionRegionDisplay
from gaussmix._src.plot.density_display import DensityDisplay
from gaussmix._src.plot.merging_display import MergingDisplay
from gaussmix._src.plot.pair_display import PairDisplay
from gaussmix._src.plot.profile_display import ProfileDisplay
from gaussmix._src.plot.projection_display import ProjectionDisplay
from gaussmix._src.plot.responsibility_display import ResponsibilityDisplay
from gaussmix._src.plot.uncertainty_display import UncertaintyDisplay

__all__ = [
    "ComponentDisplay",
    "ConditionalDisplay",
    "ConvergenceDisplay",
    "CoverageDisplay",
    "CriterionDisplay",
    "DecisionRegionDisplay",
    "DensityDisplay",
    "MergingDisplay",
    "PairDisplay",
    "ProfileDisplay",
    "ProjectionDisplay",
    "ResponsibilityDisplay",
    "UncertaintyDisplay",
]
