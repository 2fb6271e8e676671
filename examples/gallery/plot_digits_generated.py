"""
Handwritten digits, drawn by a mixture
======================================

A mixture is a generative model, which can draw new rows. This mixture is fitted to 1,797 handwritten digits of 8 × 8
pixels, and draws new digits. A full covariance of 64 features has many parameters, so each component is a factor
analyser with eight factors and noise in each pixel. The mixture is compared with a single factor analyser, which is
similar to principal components, and with a kernel density estimate.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.neighbors import KernelDensity

from gaussmix import FactorAnalyzer, GaussianMixture

X = load_digits().data
train, test = X[::2], X[1::2]
settings = {"covariance_type": FactorAnalyzer(8), "reg_covar": 0.1, "random_state": 0}
mixture = GaussianMixture(20, max_iter=200, **settings).fit(train)
single = GaussianMixture(1, max_iter=200, **settings).fit(train)
kernel = KernelDensity(bandwidth=2.3).fit(train)

print("log-likelihood of held-out digits, nats a digit")
print(f"mixture of 20:   {mixture.score(test):.1f}")
print(f"one Gaussian:    {single.score(test):.1f}")
print(f"kernel density:  {kernel.score(test) / len(test):.1f}")

# %%
# One Gaussian mixes all digits into one shape, whereas every component of the mixture describes a way to write one
# digit.

figure, axes = plt.subplots(1, 3, figsize=(10, 2.3), layout="constrained", gridspec_kw={"wspace": 0.08})
drawings = {
    "real": test[:60],
    "drawn by the mixture": mixture.sample(60)[0],
    "drawn by one Gaussian": single.sample(60)[0],
}
for ax, (name, digits) in zip(axes, drawings.items(), strict=True):
    sheet = np.pad(digits.reshape(6, 10, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
    ax.imshow(sheet.transpose(0, 2, 1, 3).reshape(60, 100), cmap="gray_r", vmin=0, vmax=16)
    ax.set_title(name)
    ax.axis("off")
plt.show()
