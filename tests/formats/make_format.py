"""Write the sample model of the newest layout; it is run by hand once for each new layout, and never again.

    python tests/formats/make_format.py v1.gmm

Files of older layouts cannot and must not be made again, because they represent the files that users have.
"""

import sys
from pathlib import Path

import numpy as np

from gaussmix import FAMILIES, Mixture
from gaussmix._src.formats import model_file, record

MIXTURE = Mixture(
    np.array([0.25, 0.75]),
    np.array([[1.0, -2.0], [np.pi, 1e-300]]),
    np.array([[[2.0, 0.5], [0.5, 1.0]], [[1 / 3, 0.0], [0.0, 1e8]]]),
    FAMILIES["full"],
)
SETTINGS = {"covariance_type": "full", "reg_covar": "auto", "tol": 1e-3, "random_state": 0, "warm_start": False}
DETAILS = record.Details(
    feature_names=("height", 'Größe, "cm"'),
    dtype="float32",
    fit=record.FitRecord(272, 272.0, -1130.2640658470857, 4, True, SETTINGS),
    package_version="0.1.0",
)

if __name__ == "__main__":
    target = Path(__file__).with_name(sys.argv[1])
    if target.exists():
        sys.exit(f"{target.name} exists: a sample is never written again.")
    model_file.write(target, MIXTURE._model, DETAILS)
