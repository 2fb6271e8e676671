"""
Diabetes: a prediction with its uncertainty
===========================================

How will the disease of 442 patients progress in a year, given their body mass index? A straight line predicts one
number, with the same error for every patient, whereas a mixture predicts a distribution for each patient. For patients
with a low index the distribution is skewed: most scores are low, a few are high, and no score is negative.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

from gaussmix import GaussianMixtureRegressor

data = load_diabetes(scaled=False)
bmi, progression = data.data[:, [2]], data.target
train = np.arange(len(bmi)) % 2 == 0

mixture = GaussianMixtureRegressor([1, 2, 3, 4], random_state=0).fit(bmi[train], progression[train])
line = LinearRegression().fit(bmi[train], progression[train])
spread = np.std(progression[train] - line.predict(bmi[train]))

# %%
# The band should contain 90 % of the patients who were not used in the fit.

grid = np.linspace(18, 42, 200)[:, None]
bands = {
    "straight line": (line.predict, lambda x: line.predict(x)[:, None] + spread * np.array([-1.645, 1.645])),
    "mixture": (mixture.predict, lambda x: mixture.predict_quantiles(x, [0.05, 0.95])),
}
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), sharey=True, layout="constrained")
for ax, (name, (centre, interval)) in zip(axes, bands.items(), strict=True):
    ax.scatter(bmi[~train], progression[~train], s=10, color="0.5")
    ax.fill_between(grid.ravel(), *interval(grid).T, alpha=0.25)
    ax.plot(grid, centre(grid), lw=2)
    low, high = interval(bmi[~train]).T
    inside = ((low <= progression[~train]) & (progression[~train] <= high)).mean()
    ax.set(title=f"{name}: {inside:.0%} inside", xlabel="body mass index, kg/m²", ylim=(-50, 360))
axes[0].set_ylabel("progression after a year")
plt.show()

# %%
# `predict_mixture` returns the whole predictive distribution. The program prints quantiles for two patients.

for x in (22.0, 34.0):
    distribution = mixture.predict_mixture([[x]])[0]
    low, middle, high = distribution.quantile([0.05, 0.5, 0.95])
    above = 1 - distribution.cdf([[200.0]])[0]
    print(f"BMI {x:.0f}: {middle:.0f}, from {low:.0f} to {high:.0f}; above 200 with probability {above:.2f}")
