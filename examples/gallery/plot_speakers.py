"""
Whose voice is it? A background model and its adaptation
========================================================

Speaker verification splits speech into frames of about 20 milliseconds and describes each frame by a few numbers
(MFCC). A large mixture with diagonal covariances, the *universal background model* (UBM), is fitted to the frames of
many people. This example uses the model in two ways. *MAP adaptation* (Reynolds, Quatieri & Dunn 2000) moves the means
towards the few frames of one speaker, and a new recording is assigned to the speaker with the highest likelihood.
*Fisher vectors* (Perronnin & Dance 2007) convert a recording of any length into one row of numbers, the gradient of its
log-likelihood, for any classifier. The program simulates the frames: speakers have the same sounds, but each speaker
pronounces them slightly differently.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.svm import LinearSVC

from gaussmix import GaussianMixture, Mixture

N_SPEAKERS, N_SOUNDS, N_FEATURES, RELEVANCE = 20, 24, 12, 16
rng = np.random.default_rng(0)
sounds = 2.0 * rng.normal(size=(N_SOUNDS, N_FEATURES))
accents = sounds + 0.35 * rng.normal(size=(N_SPEAKERS, N_SOUNDS, N_FEATURES))


def recording(speaker, n_frames):
    said = rng.integers(N_SOUNDS, size=n_frames)
    return accents[speaker, said] + rng.normal(size=(n_frames, N_FEATURES))


background = GaussianMixture(N_SOUNDS, covariance_type="diag", random_state=0).fit(
    np.concatenate([recording(s, 1000) for s in range(N_SPEAKERS)])
)

# %%
# Adaptation averages the mean of each component and the mean of the speaker's frames in this component. A component
# with few frames hardly moves, and ``RELEVANCE`` frames move its mean half of the way. Weights and variances of the
# background do not change.


def adapted(frames):
    shares = background.predict_proba(frames)
    counts = shares.sum(axis=0)[:, None]
    means = (shares.T @ frames + RELEVANCE * background.means_) / (counts + RELEVANCE)
    return Mixture.from_parameters(background.weights_, means, background.covariances_, covariance_type="diag")


def fisher_vector(frames):
    shares = background.predict_proba(frames)
    scaled = (shares.T @ frames - shares.sum(axis=0)[:, None] * background.means_) / np.sqrt(background.covariances_)
    vector = (scaled / np.sqrt(background.weights_)[:, None]).ravel() / len(frames)
    return vector / np.linalg.norm(vector)


speakers = [adapted(recording(s, 400)) for s in range(N_SPEAKERS)]
alone = [
    GaussianMixture(N_SOUNDS, covariance_type="diag", random_state=0).fit(recording(s, 400)) for s in range(N_SPEAKERS)
]
who = np.repeat(np.arange(N_SPEAKERS), 4)
vectors = LinearSVC(C=10).fit([fisher_vector(recording(s, 100)) for s in who], who)

# %%
# Longer recordings are recognised more reliably. The alternative, a mixture fitted to the 400 frames of a speaker
# alone, does not describe sounds that the speaker has hardly used.

lengths = [5, 10, 20, 40, 80, 160]
right = {"adapted means": [], "Fisher vectors": [], "a mixture of each speaker alone": []}
for n in lengths:
    tests = [(s, recording(s, n)) for s in range(N_SPEAKERS) for _ in range(5)]
    scores = {
        "adapted means": lambda x: np.argmax([m.log_density(x).mean() for m in speakers]),
        "Fisher vectors": lambda x: vectors.predict([fisher_vector(x)])[0],
        "a mixture of each speaker alone": lambda x: np.argmax([m.score(x) for m in alone]),
    }
    for name, guess in scores.items():
        right[name].append(np.mean([guess(x) == s for s, x in tests]))

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, values in right.items():
    ax.plot(lengths, values, "o-", label=name)
ax.set(xscale="log", xlabel="frames in the recording", ylabel="share of recordings recognised", ylim=(0, 1.02))
ax.set_xticks(lengths, [str(n) for n in lengths])
ax.minorticks_off()
ax.legend(frameon=False)
plt.show()
