"""Run other packages' own tests with classes of gaussmix in the place of scikit-learn's: docs/guide/other-tools.md.

python tools/in_other_tools.py FOLDER

FOLDER has a checkout of each package that is tried (RDT, CTGAN, pyod, scikit-lego, raptor). BERTopic, CellCharter,
hmmlearn, sktime, torchgmm, umap-learn, and what the packages need, must be installed. Each is tried with its own
classes and with ours. Nothing is downloaded.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import re
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

GM, BAYES = "GaussianMixture", "BayesianGaussianMixture"
LEGO = [f"sklego.{module}:{name}" for module, name in (
    ("mixture.gmm_classifier", GM), ("mixture.gmm_outlier_detector", GM), ("mixture.bayesian_gmm_classifier", BAYES),
    ("mixture.bayesian_gmm_detector", BAYES), ("naive_bayes", GM), ("naive_bayes", BAYES),
)]  # fmt: skip
TESTS = {  # a checkout → the names that are replaced, by ours of the same name, and what pytest runs
    "RDT": (
        [f"sklearn.mixture:{BAYES}"],
        [f"tests/{kind}/transformers/test_numerical.py" for kind in ("integration", "unit")] + ["-k", "ClusterBased"],
    ),
    "CTGAN": (
        [f"sklearn.mixture:{BAYES}"],
        [
            "tests/integration/test_data_transformer.py",
            "tests/unit/test_data_transformer.py",
            "tests/unit/synthesizer",
        ],
    ),
    ".": (  # hmmlearn installs its tests
        ["hmmlearn.hmm:GMMHMM"],
        ["--pyargs", *(f"hmmlearn.tests.test_gmm_hmm_{name}" for name in ("new", "multisequence"))],
    ),
    "pyod": ([f"pyod.models.gmm:{GM}"], ["pyod/test/test_gmm.py"]),
    "scikit-lego": (
        LEGO,
        [
            "tests/test_estimators/test_gmm_naive_bayes.py",
            "tests/test_estimators/test_mixture_classifier.py",
            "tests/test_estimators/test_mixture_detector.py",
        ],
    ),
}
fits = 0  # by gaussmix, in this process


def replace(names: str) -> None:
    """Put classes of gaussmix, or of the guide, into the places module:name, and count their fits."""
    import gaussmix

    for module, name in (each.split(":") for each in names.split(",") if each):
        ours: Any = hidden_markov() if name == "GMMHMM" else getattr(gaussmix, name)
        if "counted" not in ours.fit.__qualname__:
            ours.fit = _counted(ours.fit)
        setattr(importlib.import_module(module), name, ours)


@functools.cache
def hidden_markov() -> Any:
    """The class of the guide for hmmlearn."""
    text = (Path(__file__).parents[1] / "docs/guide/other-tools.md").read_text(encoding="utf-8")
    (program,) = (
        each for each in re.findall(r"^```py\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) if "MixtureHMM" in each
    )
    defined: dict[str, Any] = {}
    exec(program, defined)
    return defined["MixtureHMM"]


def _counted(fit: Any) -> Any:
    @functools.wraps(fit)
    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        global fits
        fits += 1
        return fit(self, *arguments, **options)

    counted.__qualname__ = "counted"
    return counted


def pytest_configure(config: Any) -> None:
    """pytest calls this: the script is its plugin too."""
    replace(os.environ.get("REPLACED", ""))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say whether ours were used at all."""
    terminalreporter.write_line(f"{fits} fits by gaussmix")


def run_tests(folder: Path, names: list[str], arguments: list[str]) -> str:
    """The last lines of pytest in a checkout."""
    here = [str(Path(__file__).parent), str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "REPLACED": ",".join(names), "PYTHONPATH": os.pathsep.join(here)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "in_other_tools", "-p", "no:cacheprovider", *arguments]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return ", ".join(re.findall(r"^(\d+ fits by gaussmix|.* in [\d.]+s.*)$", run.stdout, flags=re.MULTILINE))


def bertopic(model: Any) -> str:
    """Topics of the docstrings of scikit-learn, embedded without a language model."""
    from bertopic import BERTopic
    from sklearn.decomposition import PCA, TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.utils.discovery import all_estimators

    texts = [inspect.getdoc(each) or "" for _, each in all_estimators()]
    embeddings = make_pipeline(TfidfVectorizer(), TruncatedSVD(50, random_state=0)).fit_transform(texts)
    topics = BERTopic(hdbscan_model=model, umap_model=PCA(5, random_state=0))
    labels, _ = topics.fit_transform(texts, embeddings)
    again, _ = topics.transform(texts, embeddings)
    same = np.mean(np.asarray(labels) == np.asarray(again))
    return f"{len(texts)} texts, {len(topics.get_topic_info())} topics; transform gives {same:.0%} of the labels again"


def sktime(model: Any) -> str:
    """sktime's checks of its two classes that take a clusterer of scikit-learn."""
    from sktime.clustering.compose import SklearnClustererPipeline
    from sktime.detection.clust import ClusterSegmenter
    from sktime.transformations.series.summarize import SummaryTransformer
    from sktime.utils.estimator_checks import check_estimator

    said = []
    for each in (ClusterSegmenter(model), SklearnClustererPipeline(model, [SummaryTransformer()])):
        results = [*check_estimator(each, raise_exceptions=False, verbose=False).values()]
        said.append(f"{results.count('PASSED')} of {len(results)} checks of {type(each).__name__}")
    return ", ".join(said)


def raptor(folder: Path, names: str) -> str:
    """RAPTOR's two levels of clusters, of 300 embeddings in 12 groups."""
    package: Any = types.ModuleType("raptor")  # the package's own __init__ imports language models
    package.__path__ = [str(folder / "raptor")]
    sys.modules["raptor"], tokens = package, types.ModuleType("tiktoken")
    vars(tokens).update(get_encoding=lambda name: None, Encoding=object)  # the package downloads a vocabulary
    sys.modules["tiktoken"] = tokens
    for name in [each for each in sys.modules if each.startswith("raptor.")]:
        del sys.modules[name]
    utils = importlib.import_module("raptor.cluster_utils")
    replace(names)
    rng = np.random.default_rng(0)
    rows = 3 * rng.normal(size=(12, 64))[np.arange(300) % 12] + rng.normal(size=(300, 64))
    found = utils.perform_clustering(rows, dim=10, threshold=0.1)
    n_clusters = len({int(each) for labels in found for each in labels})
    pure = sum(len({row % 12 for row in range(300) if k in found[row]}) == 1 for k in range(n_clusters))
    return f"{n_clusters} clusters, {pure} of one group"


def cellcharter(n_rows: int = 50_000, n_features: int = 20) -> str:
    """Stability of 2 to 10 components in five repeats, by CellCharter and here, on one thread."""
    import cellcharter
    import torch
    from anndata import AnnData

    from gaussmix import GaussianMixtureIC

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    weights, means = rng.dirichlet(np.full(12, 5.0)), rng.normal(0, 1.6, size=(12, n_features))
    labels, factors = rng.choice(12, n_rows, p=weights), 0.25 * rng.normal(size=(12, n_features, n_features))
    noise = rng.normal(size=(n_rows, n_features))
    rows = (means[labels] + noise + np.einsum("nij,nj->ni", factors[labels], noise)).astype(np.float32)
    adata = AnnData(rows[:, :1])
    adata.obsm["X_cellcharter"] = rows
    how = {"random_state": 0, "trainer_params": {"accelerator": "cpu", "enable_progress_bar": False}}
    theirs = cellcharter.tl.ClusterAutoK(n_clusters=(2, 10), max_runs=5, convergence_tol=0, model_params=how)
    same: dict[str, Any] = {"covariance_type": "full", "tol": 1e-3, "reg_covar": 1e-6, "max_iter": 100, "n_jobs": 1}
    ours = GaussianMixtureIC(range(2, 11), criterion="stability", init_params="kmeans", random_state=0, **same)
    began = time.process_time()
    theirs.fit(adata)
    between = time.process_time()
    ours.fit(rows)
    return f"{between - began:.1f} s of processor, and {time.process_time() - between:.1f} s here"


def torchgmm() -> float:
    """By how many nats log densities of `Mixture.from_torch` differ from torchgmm's own, at most."""
    import torch
    from torchgmm.bayes import GaussianMixture

    from gaussmix import Mixture

    rng, largest, how = np.random.default_rng(0), 0.0, {"accelerator": "cpu", "enable_progress_bar": False}
    rows = rng.normal(np.repeat([0.0, 5.0], 200)[:, None], [1.0, 2.0, 0.5], size=(400, 3)).astype(np.float32)
    for name in ("full", "tied", "diag", "spherical"):
        theirs = GaussianMixture(2, covariance_type=name, trainer_params=how).fit(torch.from_numpy(rows))
        negative = theirs.score_samples(torch.from_numpy(rows)).numpy().ravel()
        largest = max(largest, float(np.abs(Mixture.from_torch(theirs).log_density(rows) + negative).max()))
    return largest


def hmmlearn() -> Iterator[str]:
    """Log-likelihoods of hmmlearn's hidden Markov models and of the guide's, and what becomes of equal rows."""
    from hmmlearn.hmm import GMMHMM

    rng = np.random.default_rng(0)
    moves, states = np.array([[0.95, 0.05, 0.0], [0.0, 0.9, 0.1], [0.1, 0.0, 0.9]]), [0]
    means, factors = rng.normal(scale=4, size=(3, 2, 2)), rng.normal(size=(3, 2, 2, 2))
    for _ in range(1_999):
        states.append(int(rng.choice(3, p=moves[states[-1]])))
    kinds = rng.integers(2, size=2_000)
    rows = means[states, kinds] + np.einsum("nij,nj->ni", factors[states, kinds], rng.normal(size=(2_000, 2)))
    equal = np.concatenate([rng.normal(size=(300, 2)), np.full((40, 2), 7.0), rng.normal(5, 1, size=(300, 2))])
    for structure in ("full", "diag"):
        for cls in (GMMHMM, hidden_markov()):
            began, how = time.process_time(), {"covariance_type": structure, "n_iter": 200, "tol": 1e-3}
            fits = [cls(3, 2, random_state=seed, **how).fit(rows) for seed in range(5)]
            took = time.process_time() - began
            yield f"{cls.__name__}, {structure}: {[round(fit.score(rows), 2) for fit in fits]}, {took:.1f} s"
            try:
                found = cls(3, 2, random_state=0, **how).fit(equal).predict(equal)
                yield f"  of equal rows: {np.bincount(found, minlength=3)}"
            except ValueError as error:
                yield f"  of equal rows: {error}"


def main(folder: Path) -> None:
    """Print what came of each, with scikit-learn's classes first."""
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    import gaussmix

    for name, (names, arguments) in TESTS.items():
        for places in ([], names):
            print(f"{name}, {'gaussmix' if places else 'scikit-learn'}: {run_tests(folder / name, places, arguments)}")
    for model in (KMeans(10, random_state=0), gaussmix.GaussianMixture(10, covariance_type="EEE", random_state=0)):
        print(f"BERTopic, {type(model).__name__}: {bertopic(model)}")
    for model in (GaussianMixture(2, random_state=0), gaussmix.GaussianMixture(2, random_state=0)):
        print(f"sktime, {type(model).__module__.partition('.')[0]}: {sktime(model)}")
    for places in ("", f"raptor.cluster_utils:{GM}"):
        print(f"RAPTOR, {'gaussmix' if places else 'scikit-learn'}: {raptor(folder / 'raptor', places)}")
    print(f"torchgmm: log densities differ by {torchgmm():.1g} nats at most")
    for said in hmmlearn():
        print(f"hmmlearn: {said}")
    print(f"CellCharter's ClusterAutoK: {cellcharter()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
