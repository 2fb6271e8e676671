"""Pictures of mixtures, in the manner of scikit-learn's displays.

They need matplotlib, which `pip install 'gaussmix[plot]'` brings.
"""

from gaussmix.plot.component_display import ComponentDisplay

__all__ = ["ComponentDisplay"]
