"""
Many tumours, few diagnoses
===========================

A diagnosis is expensive, while measurements are cheap. In this data set, 569 breast tumours are measured, but only a
few are diagnosed. A mixture uses all tumours: diagnosed tumours define the classes, and undiagnosed tumours show the
shapes of the classes. Logistic regression uses only the diagnosed tumours.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from gaussmix import GaussianMixtureClassifier

data = load_breast_cancer()
X, y = scale(np.log(data.data[:, :6])), data.target
numbers, n_times = [6, 10, 20, 40, 80], 10
accuracy = {"mixture, all tumours": [], "logistic regression, diagnosed ones": []}

for n in numbers:
    right = {name: [] for name in accuracy}
    for seed in range(n_times):
        order = np.random.default_rng(seed).permutation(len(X))
        few = np.r_[order[y[order] == 0][: n // 2], order[y[order] == 1][: n // 2]]
        labels = np.full(len(X), -1)
        labels[few] = y[few]
        rest = labels == -1
        mixture = GaussianMixtureClassifier(covariance_type="tied", max_iter=500).fit(X, labels)
        line = make_pipeline(StandardScaler(), LogisticRegression()).fit(X[few], y[few])
        for name, model in zip(right, (mixture, line), strict=True):
            right[name].append((model.predict(X[rest]) == y[rest]).mean())
    for name in accuracy:
        accuracy[name].append(np.array(right[name]))

# %%
# The lines are means over ten random choices of the diagnosed tumours, and the bands contain the middle eight of ten.

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, results in accuracy.items():
    ax.plot(numbers, [each.mean() for each in results], "o-", label=name)
    ax.fill_between(numbers, *np.quantile(np.array(results), [0.1, 0.9], axis=1), alpha=0.2)
ax.set(xscale="log", xlabel="diagnosed tumours", ylabel="the others that are classified right")
ax.set_xticks(numbers, [str(n) for n in numbers])
ax.minorticks_off()
ax.legend(frameon=False, loc="lower right")
plt.show()
