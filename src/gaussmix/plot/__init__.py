"""Pictures of mixtures, in the manner of scikit-learn's displays.

They need matplotlib, which `pip install 'gaussmix[plot]'` brings.
"""

from gaussmix.plot.calibration_display import CalibrationDisplay
from gaussmix.plot.component_display import ComponentDisplay
from gaussmix.plot.conditional_display import ConditionalDisplay
from gaussmix.plot.convergence_display import ConvergenceDisplay
from gaussmix.plot.criterion_display import CriterionDisplay
from gaussmix.plot.density_display import DensityDisplay
from gaussmix.plot.merging_display import MergingDisplay
from gaussmix.plot.pair_display import PairDisplay
from gaussmix.plot.projection_display import ProjectionDisplay
from gaussmix.plot.region_display import RegionDisplay
from gaussmix.plot.responsibility_display import ResponsibilityDisplay
from gaussmix.plot.uncertainty_display import UncertaintyDisplay

__all__ = [
    "CalibrationDisplay",
    "ComponentDisplay",
    "ConditionalDisplay",
    "ConvergenceDisplay",
    "CriterionDisplay",
    "DensityDisplay",
    "MergingDisplay",
    "PairDisplay",
    "ProjectionDisplay",
    "RegionDisplay",
    "ResponsibilityDisplay",
    "UncertaintyDisplay",
]
