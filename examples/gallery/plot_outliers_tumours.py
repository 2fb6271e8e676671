"""
Tumours that do not look benign
===============================

The detectors are fitted to benign breast tumours only, and must find malignant tumours among new tumours. The mixture
returns a p-value for each tumour, the probability that a benign tumour is less typical. Isolation forests, the local
outlier factor and the elliptic envelope are the usual detectors.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.covariance import EllipticEnvelope
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.neighbors import LocalOutlierFactor

from gaussmix import GaussianMixtureDetector

data = load_breast_cancer()
X, is_malignant = np.log(data.data[:, :6]), data.target == 0
benign = np.random.default_rng(0).permutation(np.flatnonzero(~is_malignant))
train, rest = X[benign[:178]], np.r_[benign[178:], np.flatnonzero(is_malignant)]
test, truth = X[rest], is_malignant[rest]

detectors = {
    "mixture": GaussianMixtureDetector([1, 2, 3, 4], max_iter=1000, random_state=0),
    "isolation forest": IsolationForest(random_state=0),
    "local outlier factor": LocalOutlierFactor(novelty=True),
    "elliptic envelope": EllipticEnvelope(random_state=0),
}

# %%
# Each curve shows how many malignant tumours are found for a given rate of false alarms. Curves higher and farther left
# are better.

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
for name, detector in detectors.items():
    suspicion = -detector.fit(train).score_samples(test)
    false, found, _ = roc_curve(truth, suspicion)
    left.plot(
        false, found, label=f"{name}: {roc_auc_score(truth, suspicion):.3f}", lw=2.5 if name == "mixture" else 1.2
    )
left.set(xlabel="benign, flagged", ylabel="malignant, found", title="area under the curve")
left.legend(frameon=False)

p_values = detectors["mixture"].p_values(test)
bins = np.logspace(-12, 0, 40)
for name, chosen in (("benign", ~truth), ("malignant", truth)):
    right.hist(np.maximum(p_values[chosen], 1e-12), bins=bins, alpha=0.6, label=name)
right.set(
    xscale="log", xlabel="p-value (smaller ones at the left edge)", ylabel="tumours", title="p-values of the mixture"
)
right.legend(frameon=False)
plt.show()
