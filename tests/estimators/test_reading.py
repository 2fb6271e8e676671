"""Summaries, data frames and one-line texts of a fit: every number equals NumPy's or the estimator's."""

import pickle
import re
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from common import LEAF_ROWS
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import gaussmix
from gaussmix import FAMILIES, Dirichlet, GaussianMixture, GaussianMixtureIC, Mixture, Restrictions
from gaussmix._src.em.step.online import STEP_ROWS
from gaussmix._src.estimators.gaussian_mixture import as_estimator
from gaussmix._src.fit.fitted import Ending

LIBRARIES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}


def line_of(fitted):
    """Return the line that notebooks show for a fitted estimator."""
    return re.search("<b>(.*?)</b>", fitted._repr_html_())[1]


@pytest.fixture
def frame(X):
    return pd.DataFrame(X, columns=["length", "50% & <b>", "mass_g"])


@pytest.fixture
def gm(frame):
    return GaussianMixture(3, random_state=0).fit(frame)


def components(summary):
    """Parse the table of the text, cell by cell."""
    table = str(summary).split("\n\n")[2].splitlines()
    return [re.split(r"\s{2,}", line.strip()) for line in table]


def test_the_numbers_of_rows_are_those_of_the_estimator(gm, frame):
    facts = gm.summary(frame).statistics
    shares = gm.predict_proba(frame)
    np.testing.assert_allclose(facts["log_likelihood"], gm.score_samples(frame).sum(), rtol=1e-13)
    np.testing.assert_allclose(facts["bic"], gm.bic(frame), rtol=1e-13)
    # Biernacki, Celeux & Govaert (2000), for rows assigned to their components
    entropy = -np.log(shares.max(axis=1)).sum()
    np.testing.assert_allclose(facts["icl"], gm.bic(frame) + 2 * entropy, rtol=1e-12)
    np.testing.assert_allclose(gm.summary(frame).components["size"], shares.sum(axis=0), rtol=1e-12)
    assert (facts["n_rows"], facts["n_features"], facts["n_components"]) == (180, 3, 3)
    assert (facts["structure"], facts["n_parameters"], facts["is_final"]) == ("full", 29, True)


def test_weights_count_as_they_do_for_bic(gm, frame, rng):
    weight = rng.integers(1, 5, size=len(frame)).astype(float)
    facts = gm.summary(frame, weight).statistics
    np.testing.assert_allclose(facts["bic"], gm.bic(frame, weight), rtol=1e-13)
    sizes = gm.summary(frame, weight).components["size"]
    np.testing.assert_allclose(sizes, weight @ gm.predict_proba(frame), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:sample_weight sums to:RuntimeWarning")
def test_weights_that_are_shares_count_rows_without_the_rows_too(frame):
    weight = np.full(len(frame), 0.001)
    fitted = GaussianMixture(2, tol=1e-9, max_iter=1000, random_state=0).fit(frame, sample_weight=weight)
    assert fitted.summary().statistics["bic"] == pytest.approx(fitted.bic(frame, weight), rel=1e-6)
    assert fitted.tidy()["size"].sum() == pytest.approx(len(frame))


def test_a_fit_without_a_step_knows_no_likelihood(frame):
    fitted = GaussianMixture(2, max_iter=0, random_state=0).fit(frame)
    facts = fitted.summary().statistics
    assert (facts["log_likelihood"], facts["bic"]) == (None, None)
    assert "nats" not in fitted._repr_html_()
    assert facts["stopped"] == "max_iter=0 allows no step; raise max_iter."


def test_without_rows_it_says_what_the_fit_knows(gm, frame):
    summary = gm.summary()
    assert summary.statistics["log_likelihood"] == pytest.approx(180 * gm.lower_bound_, rel=1e-13)
    assert (
        summary.statistics["log_likelihood"] <= gm.score_samples(frame).sum() + 1e-8
    )  # the ridge may cost the last digits
    assert summary.statistics["icl"] is None
    assert "before the last step: summary(X) gives the final one" in str(summary)
    np.testing.assert_allclose(summary.components["size"], 180 * gm.weights_, rtol=1e-14)


@pytest.mark.parametrize(
    "options",
    [
        {"prior": "default"},
        {"trim": 0.1},
        {"prior": Dirichlet(2.0)},
        {"restrictions": Restrictions(equal_weights=True)},
    ],
    ids=str,
)
def test_what_em_raised_is_only_called_a_log_likelihood_where_it_is_one(options, frame):
    fitted = GaussianMixture(3, random_state=0, **options).fit(frame)
    assert fitted.summary().statistics["log_likelihood"] is None
    assert "nats per row" not in fitted._repr_html_()
    assert fitted.summary(frame).statistics["bic"] == pytest.approx(fitted.bic(frame), rel=1e-13)


def test_a_search_knows_its_criteria(frame):
    search = GaussianMixtureIC(range(2, 5), covariance_type=["diag", "full"], random_state=0).fit(frame)
    facts = search.summary().statistics
    for name in ("log_likelihood", "bic", "icl"):
        assert facts[name] == search.results_[name][search.best_index_]
        assert facts[name] == pytest.approx(search.summary(frame).statistics[name], rel=1e-10)
    assert search.tidy().shape == (search.n_components_, 3 + 2 * 3 + 2)
    assert search.explain(frame[:2]).component.tolist() == search.predict(frame[:2]).tolist()
    assert len(search.augment(frame)) == len(frame)


@pytest.mark.parametrize("how", ["trim", "labels"])
def test_a_search_shows_no_criteria_that_are_not_of_the_rows(how, frame):
    search = GaussianMixtureIC([2], covariance_type="full", random_state=0, trim=0.1 if how == "trim" else 0.0)
    search.fit(frame, labels=[0, *[None] * (len(frame) - 1)] if how == "labels" else None)
    facts = search.summary().statistics
    assert [facts[name] for name in ("log_likelihood", "bic", "icl")] == [None] * 3
    assert np.isfinite(search.results_["bic"][search.best_index_])
    assert search.summary(frame).statistics["bic"] == pytest.approx(search.bic(frame), rel=1e-13)


def test_components_are_described_by_their_numbers(gm):
    table = gm.tidy()
    np.testing.assert_array_equal(table["weight"], gm.weights_)
    np.testing.assert_array_equal(table["mean_mass_g"], gm.means_[:, 2])
    np.testing.assert_array_equal(table["sd_length"], np.sqrt(gm.covariances_[:, 0, 0]))
    overlap = np.zeros((3, 3))
    for i, j in [(0, 1), (0, 2), (1, 2)]:  # textbook formula of Bhattacharyya's coefficient
        middle = (gm.covariances_[i] + gm.covariances_[j]) / 2
        offset = gm.means_[i] - gm.means_[j]
        logs = [np.linalg.slogdet(each)[1] for each in (middle, gm.covariances_[i], gm.covariances_[j])]
        distance = offset @ np.linalg.solve(middle, offset) / 8 + (logs[0] - (logs[1] + logs[2]) / 2) / 2
        overlap[i, j] = overlap[j, i] = np.exp(-distance)
    np.testing.assert_array_equal(table["nearest"], overlap.argmax(axis=1))
    np.testing.assert_allclose(table["overlap"], overlap.max(axis=1), rtol=1e-10)


def test_a_single_component_and_one_without_weight_have_no_neighbour():
    one = GaussianMixture()
    one.mixture_ = Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"])
    assert (one.tidy()["nearest"].tolist(), one.tidy()["overlap"].isna().tolist()) == ([-1], [True])
    one.mixture_ = Mixture([0.5, 0.0, 0.5], [[0.0], [1.0], [2.0]], [1.0, 1.0, 1.0], FAMILIES["spherical"])
    assert one.tidy()["nearest"].tolist() == [2, -1, 0]


@pytest.mark.parametrize("library", LIBRARIES)
def test_frames_come_in_the_library_of_the_data(library, X):
    table = LIBRARIES[library](dict(zip("abc", X.T, strict=True)))
    gm = GaussianMixture(3, random_state=0).fit(table)
    for frame in (gm.tidy(), gm.glance(), gm.glance(table), gm.augment(table), gm.summary().to_frame()):
        assert type(frame) is type(table)
    again = pickle.loads(pickle.dumps(gm))
    assert type(again.tidy()) is type(table)


@pytest.mark.parametrize("library", LIBRARIES)
def test_equal_fits_make_equal_files_whatever_the_library_of_the_rows(library, X, tmp_path):
    table = LIBRARIES[library](dict(zip("abc", X.T, strict=True)))
    pq.write_table(pa.table(dict(zip("abc", X.T, strict=True))), tmp_path / "rows.parquet")
    for name, rows in ("frame.gmm", table), ("file.gmm", tmp_path / "rows.parquet"):
        GaussianMixture(3, random_state=0).fit(rows).save(tmp_path / name)
    assert (tmp_path / "frame.gmm").read_bytes() == (tmp_path / "file.gmm").read_bytes()


def test_a_saved_estimator_knows_its_rows(gm, tmp_path):
    gm.save(tmp_path / "a.gmm")
    gm.save(tmp_path / "b.gmm")
    loaded = GaussianMixture.load(tmp_path / "a.gmm")
    assert (tmp_path / "a.gmm").read_bytes() == (tmp_path / "b.gmm").read_bytes()
    assert str(loaded.summary()) == str(gm.summary())
    # files do not contain the time of a fit, so that equal fits have equal files
    assert line_of(loaded) == line_of(gm).rpartition(", ")[0]


def test_augment_adds_columns_to_the_rows_as_they_are(gm, frame):
    frame.index = frame.index[::-1] + 7
    table = gm.augment(frame)
    pd.testing.assert_frame_equal(table[frame.columns], frame)
    np.testing.assert_array_equal(table["component"], gm.predict(frame))
    np.testing.assert_allclose(table["uncertainty"], 1 - gm.predict_proba(frame).max(axis=1), atol=1e-15)
    np.testing.assert_array_equal(table["log_density"], gm.score_samples(frame))
    assert list(frame.columns) == ["length", "50% & <b>", "mass_g"]  # the caller's frame is not changed
    renamed = frame.rename(columns={"length": "component"})
    clashing = GaussianMixture().fit(renamed)
    with pytest.raises(ValueError, match="X already has a column called 'component'"):
        clashing.augment(renamed)


def test_rows_where_the_mixture_has_no_mass_are_told(gm, frame):
    table = gm.augment(frame)
    np.testing.assert_array_equal(table["p_value"], gm.mixture_.density_p_value(frame))
    with pytest.warns(RuntimeWarning, match=r"^180 of 180 rows lie where the mixture has no mass \(p-value < 1e-06\)"):
        far = gm.augment(frame * 1000)
    assert far["p_value"].max() < 1e-6
    gm.augment(frame.head(3) * 1000)  # three rows are too few for a warning
    holed = frame.mask(frame == frame.iloc[0])
    assert np.isnan(gm.augment(holed)["p_value"]).tolist() == [True] + [False] * 179
    assert np.isnan(gm.augment(frame * 1000, X_error=np.ones(3))["p_value"]).all()


def test_rows_of_a_wide_component_are_where_the_mixture_has_mass(rng):
    rows = (
        rng.normal(size=(400, 2)) * np.repeat([1e-3, 1.0], [300, 100])[:, None] + np.repeat([0, 9], [300, 100])[:, None]
    )
    fitted = GaussianMixture(2, random_state=0).fit(rows)
    assert fitted.augment(rows)["p_value"].min() > 1e-5


def test_rows_of_noise_are_not_where_the_mixture_has_no_mass(rng):
    rows = np.concatenate([rng.normal(0, 1, size=(150, 2)), rng.uniform(-90, 90, size=(30, 2))])
    fitted = GaussianMixture(1, noise=True, random_state=0).fit(rows)
    table = fitted.augment(rows)
    np.testing.assert_array_equal(table["p_value"], fitted.mixture_.without_noise.density_p_value(rows))
    assert ((table["p_value"] < 1e-6) & (table["component"] == -1)).sum() > 10


def test_augment_finds_the_features_among_other_columns(gm, frame):
    expected = gm.augment(frame)
    with_text = frame.assign(place="north")[["mass_g", "place", "length", "50% & <b>"]]
    table = gm.augment(with_text)
    pd.testing.assert_frame_equal(table[with_text.columns], with_text)
    pd.testing.assert_frame_equal(table.drop(columns="place")[expected.columns], expected)
    with pytest.raises(ValueError, match=r"(?s)feature names should match.*missing.*- mass_g"):
        gm.augment(with_text.drop(columns="mass_g"))


@pytest.mark.parametrize("kind", [GaussianMixture, gaussmix.GaussianMixtureDetector])
def test_explain_finds_the_features_among_other_columns(kind, frame):
    fitted, with_text = kind(2, random_state=0).fit(frame), frame.assign(place="north")[::-1]
    pd.testing.assert_frame_equal(fitted.explain(with_text).to_frame(), fitted.explain(frame[::-1]).to_frame())


def test_arrays_become_frames_with_numbered_features(X, tmp_path):
    fitted = GaussianMixture(3, random_state=0).fit(X)
    table = fitted.augment(X)
    assert list(table.columns) == ["x0", "x1", "x2", "component", "uncertainty", "log_density", "p_value"]
    np.testing.assert_array_equal(table["x1"], X[:, 1])
    np.save(tmp_path / "rows.npy", X)
    pd.testing.assert_frame_equal(fitted.augment(gaussmix.open(tmp_path / "rows.npy")), table)
    np.save(tmp_path / "many.npy", np.zeros((200_000, 3)))
    with pytest.raises(TypeError, match="augment needs an array or a data frame in memory"):
        fitted.augment(gaussmix.open(tmp_path / "many.npy", memory="1 MB"))


def test_noise_is_a_row_of_its_own(rng):
    rows = np.concatenate([rng.normal(0, 1, size=(150, 2)), rng.uniform(-9, 9, size=(30, 2))])
    fitted = GaussianMixture(1, noise=True, random_state=0).fit(rows)
    table = fitted.tidy()
    assert table["component"].tolist() == [0, -1]
    np.testing.assert_allclose(table["weight"], [fitted.weights_[0], fitted.noise_weight_])
    np.testing.assert_allclose(fitted.summary(rows).components["size"][1], (1 - fitted.predict_proba(rows)).sum())
    share = fitted.predict_proba(rows)[:, 0]
    np.testing.assert_allclose(fitted.augment(rows)["uncertainty"], np.minimum(share, 1 - share), atol=1e-14)
    assert components(fitted.summary())[-1][:2] == ["noise", f"{fitted.noise_weight_:.4f}"]


def test_the_text_is_a_table_of_the_same_numbers(gm, frame):
    header, *rows = components(gm.summary(frame))
    assert header == ["component", "weight", "size", "length", "50% & <b>", "mass_g", "nearest", "overlap"]
    for k, row in enumerate(rows):
        assert row[:2] == [str(k), f"{gm.weights_[k]:.4f}"]
        mean, deviation = map(float, row[3].split(" ± "))
        assert mean == pytest.approx(gm.means_[k, 0], abs=0.005)
        assert deviation == pytest.approx(np.sqrt(gm.covariances_[k, 0, 0]), abs=0.005)


def test_many_features_are_rows_and_many_components_are_counted(rng):
    wide = GaussianMixture(2, covariance_type="diag", random_state=0).fit(rng.normal(size=(60, 12)))
    header, *rows = components(wide.summary())
    assert header == ["component", "0", "1"]
    assert [row[0] for row in rows] == ["weight", "size", *(f"x{j}" for j in range(12)), "nearest", "overlap"]
    large = GaussianMixture(14, covariance_type="diag", random_state=0).fit(rng.normal(size=(400, 20)))
    assert components(large.summary())[0][-1] == "… 5 more"


def test_html_and_latex_escape_names_and_have_all_numbers(gm, frame):
    summary = gm.summary(frame)
    html, latex = summary._repr_html_(), summary.to_latex()
    assert "<b>" not in re.sub(r"<p><b>|</b></p>", "", html)
    assert "50% &amp; &lt;b&gt;" in html
    assert r"50\% \& <b> & mass\_g" in latex
    for row in components(summary)[1:]:
        for cell in row:
            assert cell in html
            assert cell.replace("±", r"$\pm$") in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2


def test_warnings_name_features_and_candidates(frame):
    frame["constant"] = 3.0
    with pytest.warns(RuntimeWarning, match="constant"):
        fitted = GaussianMixture(2, random_state=0).fit(frame)
    assert "feature 'constant': the column is constant" in str(fitted.summary())
    with pytest.warns(RuntimeWarning, match="could not be fitted"):
        search = GaussianMixtureIC([2, 3], covariance_type=["full", "EII"], random_state=0).fit(frame)
    assert "- 2 of 4 candidates could not be fitted: 2 × singular covariance." in str(search.summary())
    assert "constant" in fitted.summary()._repr_html_()


def test_why_it_stopped(frame):
    with pytest.warns(Warning, match="did not converge"):
        fitted = GaussianMixture(3, max_iter=1, tol=0.0, random_state=0).fit(frame)
    assert "after 1 step. max_iter steps were made" in str(fitted.summary())
    assert fitted.glance()["converged"].tolist() == [False]
    assert "1 step, not converged" in line_of(fitted)


def test_the_line_says_what_was_found(gm, frame):
    mean = f"{gm.lower_bound_:.4g}".replace("-", "−")
    assert re.fullmatch(rf"3 components, full, 180 × 3, {mean} nats per row, {gm.n_iter_} steps, \d+ ms", line_of(gm))


def test_the_repr_of_a_fit_is_an_expression_as_in_scikit_learn(gm):
    assert repr(gm) == repr(clone(gm)) == "GaussianMixture(n_components=3, random_state=0)"
    assert repr(make_pipeline(gm)) == "Pipeline(steps=[('gaussianmixture',\n" + " " * 17 + f"{gm!r})])"


def test_a_mixture_set_by_hand_has_what_can_be_known():
    by_hand = GaussianMixture()
    by_hand.mixture_ = Mixture([0.5, 0.5], [[0.0], [9.0]], [1.0, 1.0], FAMILIES["spherical"], ["x"])
    assert line_of(by_hand) == "2 components, spherical, 1 feature"
    text = str(by_hand.summary())
    assert "1 feature (x)" in text
    assert "stopped" not in text
    assert by_hand.glance()["n_rows"].tolist() == [None]


def test_missing_cells_are_counted(frame, tmp_path):
    holed = frame.mask(np.random.default_rng(0).random(frame.shape) < 0.1)
    n_missing = int(holed.isna().sum().sum())
    gm = GaussianMixture(2, random_state=0).fit(holed)
    gm.save(tmp_path / "m.gmm")
    for fitted in (gm, GaussianMixture.load(tmp_path / "m.gmm")):
        assert f"mass_g), {n_missing} cells missing\n" in str(fitted.summary())
        assert fitted.glance()["n_missing"].tolist() == [n_missing]
    assert "1 cell missing\n" in str(gm.summary(frame.assign(mass_g=[np.nan, *frame["mass_g"][1:]])))
    assert "missing" not in str(gm.summary(frame))


def test_a_stream_that_holds_its_rows_knows_what_a_fit_knows(rng):
    rows = rng.normal(size=(100, 1))
    gm = GaussianMixture(2, random_state=0).fit(rows[:50])
    for some in (rows[:60], rows[60:]):
        gm.partial_fit(some, sample_weight=np.full(len(some), 3.0))
    assert gm.tidy()["size"].sum() == pytest.approx(300)
    facts = gm.summary().statistics
    assert facts["log_likelihood"] == pytest.approx(300 * gm.lower_bound_, rel=1e-13)
    assert (facts["n_rows"], facts["bic"]) == (100, pytest.approx(gm.bic(rows, np.full(100, 3.0)), abs=0.6))
    assert gm.partial_fit(rows[:1], sample_weight=[0.0]).glance()["n_rows"].tolist() == [101]


def test_a_stream_that_makes_steps_counts_the_weights_of_all_its_rows(rng, tmp_path):
    rows = rng.normal(size=(LEAF_ROWS + STEP_ROWS + 9, 1))
    weight, gm = rng.uniform(1.0, 3.0, size=len(rows)), GaussianMixture(2, random_state=0)
    for start, end in pairwise([0, LEAF_ROWS, LEAF_ROWS + 5, len(rows)]):
        gm.partial_fit(rows[start:end], sample_weight=weight[start:end])
        assert gm.tidy()["size"].sum() == pytest.approx(weight[:end].sum(), rel=1e-12)
        is_fit = end == LEAF_ROWS  # log-likelihoods exist only for all rows
        assert (gm.summary().statistics["log_likelihood"] is not None) == is_fit
    gm.save(tmp_path / "stream.gmm")
    pd.testing.assert_frame_equal(GaussianMixture.load(tmp_path / "stream.gmm").tidy(), gm.tidy())


@pytest.mark.heavy
def test_without_a_library_of_frames_the_error_says_what_to_install():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['pandas', 'polars', 'pyarrow']))\n"
        "from gaussmix import GaussianMixture\n"
        "gm = GaussianMixture(1).fit([[0.0], [1.0], [2.0]])\n"
        "print(len(str(gm.summary())) > 0)\n"
        "try:\n    gm.tidy()\nexcept ImportError as error:\n    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "True\nA table of results needs pandas, polars or pyarrow. Install one of them.\n"


def test_components_in_another_order_keep_the_rows_and_lose_the_likelihood(gm):
    before, gm.mixture_ = gm.mixture_, gm.mixture_.sorted("mean", feature="length")
    assert gm.tidy()["mean_length"].is_monotonic_increasing
    np.testing.assert_allclose(gm.tidy()["size"].sum(), 180)
    assert gm.glance()["log_likelihood"].tolist() == [None]
    gm.mixture_ = before[0]
    assert gm.glance()["n_rows"].tolist() == [None]
    gm.means_ = np.zeros((2, 3))  # one mean is missing, out of two
    assert repr(gm) == "GaussianMixture(n_components=3, random_state=0)"


def test_the_outcome_says_what_was_left_to_gain_and_how_many_starts_agreed(gm):
    outcome = Ending("It was enough.", True, 7.1e-5, 0.0125, rate=0.9, n_starts=10, n_starts_at_best=3)
    gm.outcome_ = outcome
    text = str(gm.summary())
    assert "steps. It was enough." in text
    said = "The fit is near a maximum. Further steps may gain 7.1e-05 nats per row and change 1.2 % of the labels."
    assert f"maximum         {said}" in text
    assert ", near a maximum," in line_of(gm)
    assert "starts          3 of 10 agree with the best" in text
    assert gm.glance()["n_starts_at_best"].tolist() == [3]
    assert gm.glance()["remaining_gain"].tolist() == [7.1e-5]
    gm.outcome_ = replace(outcome, is_maximum=False, remaining_gain=None, label_change_fraction=None)
    assert "maximum         The fit is not near a maximum: it is at a saddle point, on a flat" in str(gm.summary())
    assert ", not near a maximum," in line_of(gm)
    gm.outcome_ = replace(outcome, n_starts=1, is_maximum=None, remaining_gain=None, label_change_fraction=None)
    assert "starts" not in str(gm.summary())
    assert "maximum" not in str(gm.summary()) + line_of(gm)


def test_a_notebook_shows_what_was_found_before_the_parameters(gm):
    for html in (gm._repr_html_(), gm._repr_mimebundle_()["text/html"]):
        assert html.startswith(f"<div><p><b>{line_of(gm)}</b></p><svg ")
        assert "sk-container-id" in html
    assert gm._repr_mimebundle_()["text/plain"] == repr(gm)


def test_a_notebook_shows_the_parameters_alone_where_there_is_no_mixture(gm):
    assert "<svg role" not in GaussianMixture(2)._repr_html_()
    assert "sk-container-id" in GaussianMixture(2)._repr_html_()
    gm.means_ = [[1.0]]
    assert gm._repr_html_() == "<pre>GaussianMixture(n_components=3, random_state=0)</pre>"


def test_components_whose_sum_is_singular_are_summarised():
    """Check covariances that are positive definite to rounding, although their sum is not."""
    flat = [[[7.0, 35.0], [35.0, 175.00000000000063]], [[38.0, 190.0], [190.0, 950.0000000000185]]]
    mixture = Mixture([0.5, 0.5], np.zeros((2, 2)), flat, FAMILIES["full"])
    assert np.isfinite(mixture.log_density([[1.0, 5.0]])).all()
    found = as_estimator(mixture).summary()
    assert found.components["nearest"].tolist() == [-1, -1]
    assert "± 30.8" in str(found)
