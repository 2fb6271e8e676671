"""Tests of `summary`, `tidy`, `glance`, `augment`, `explain` and of what a notebook shows of a fit."""

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
from common import LEAF_ROWS, Outcome
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

import gaussmix
from gaussmix import FAMILIES, Dirichlet, GaussianMixture, GaussianMixtureIC, Mixture, Restrictions
from gaussmix._src.em.step.online import STEP_ROWS
from gaussmix._src.estimators.gaussian_mixture import as_estimator

LIBRARIES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}


def notebook_line(fitted):
    """Return the line that notebooks show for a fitted estimator."""
    return re.search("<b>(.*?)</b>", fitted._repr_html_())[1]


@pytest.fixture
def frame(X):
    return pd.DataFrame(X, columns=["length", "50% & <b>", "mass_g"])


@pytest.fixture
def gm(frame):
    return GaussianMixture(3, random_state=0).fit(frame)


def parse_components(summary):
    """Parse the table of components in the text of a summary."""
    table = str(summary).split("\n\n")[2].splitlines()
    return [re.split(r"\s{2,}", line.strip()) for line in table]


def test_summary_statistics_of_rows_equal_the_methods_of_the_estimator(gm, frame):
    statistics = gm.summary(frame).statistics
    responsibilities = gm.predict_proba(frame)
    np.testing.assert_allclose(statistics["log_likelihood"], gm.score_samples(frame).sum(), rtol=1e-13)
    np.testing.assert_allclose(statistics["bic"], gm.bic(frame), rtol=1e-13)
    # Biernacki, Celeux & Govaert (2000), if rows are assigned to their most probable components
    entropy = -np.log(responsibilities.max(axis=1)).sum()
    np.testing.assert_allclose(statistics["icl"], gm.bic(frame) + 2 * entropy, rtol=1e-12)
    np.testing.assert_allclose(gm.summary(frame).components["size"], responsibilities.sum(axis=0), rtol=1e-12)
    assert (statistics["n_rows"], statistics["n_features"], statistics["n_components"]) == (180, 3, 3)
    assert (statistics["structure"], statistics["n_parameters"], statistics["is_final"]) == ("full", 29, True)


def test_summary_counts_sample_weight_as_bic_does(gm, frame, rng):
    weight = rng.integers(1, 5, size=len(frame)).astype(float)
    statistics = gm.summary(frame, weight).statistics
    np.testing.assert_allclose(statistics["bic"], gm.bic(frame, weight), rtol=1e-13)
    sizes = gm.summary(frame, weight).components["size"]
    np.testing.assert_allclose(sizes, weight @ gm.predict_proba(frame), rtol=1e-12)


@pytest.mark.filterwarnings("ignore:sample_weight sums to:RuntimeWarning")
def test_summary_without_rows_treats_small_weights_as_proportions(frame):
    weight = np.full(len(frame), 0.001)
    fitted = GaussianMixture(2, tol=1e-9, max_iter=1000, random_state=0).fit(frame, sample_weight=weight)
    assert fitted.summary().statistics["bic"] == pytest.approx(fitted.bic(frame, weight), rel=1e-6)
    assert fitted.tidy()["size"].sum() == pytest.approx(len(frame))


def test_summary_has_no_log_likelihood_if_em_made_no_step(frame):
    fitted = GaussianMixture(2, max_iter=0, random_state=0).fit(frame)
    statistics = fitted.summary().statistics
    assert (statistics["log_likelihood"], statistics["bic"]) == (None, None)
    assert "nats" not in fitted._repr_html_()
    assert statistics["stopped"] == "max_iter=0 allows no step; raise max_iter."


def test_summary_without_rows_reports_the_lower_bound_of_the_fit(gm, frame):
    summary = gm.summary()
    log_likelihood = summary.statistics["log_likelihood"]
    assert log_likelihood == pytest.approx(180 * gm.lower_bound_, rel=1e-13)
    assert log_likelihood <= gm.score_samples(frame).sum() + 1e-8  # the ridge may cost the last digits
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
def test_summary_omits_the_log_likelihood_if_em_raised_another_objective(options, frame):
    fitted = GaussianMixture(3, random_state=0, **options).fit(frame)
    assert fitted.summary().statistics["log_likelihood"] is None
    assert "nats per row" not in fitted._repr_html_()
    assert fitted.summary(frame).statistics["bic"] == pytest.approx(fitted.bic(frame), rel=1e-13)


def test_summary_of_a_model_selection_reports_criteria_of_the_best_candidate(frame):
    search = GaussianMixtureIC(range(2, 5), covariance_type=["diag", "full"], random_state=0).fit(frame)
    statistics = search.summary().statistics
    for name in ("log_likelihood", "bic", "icl"):
        assert statistics[name] == search.results_[name][search.best_index_]
        assert statistics[name] == pytest.approx(search.summary(frame).statistics[name], rel=1e-10)
    assert search.tidy().shape == (search.n_components_, 3 + 2 * 3 + 2)
    assert search.explain(frame[:2]).component.tolist() == search.predict(frame[:2]).tolist()
    assert len(search.augment(frame)) == len(frame)


@pytest.mark.parametrize(("largest", "n_warnings"), [(2, 1), (3, 1), (4, 0)])
def test_summary_warns_if_the_best_number_of_components_is_the_largest(largest, n_warnings, rng):
    X = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 60, axis=0) + rng.normal(size=(180, 2))
    best = GaussianMixtureIC(range(1, largest + 1), covariance_type="spherical", random_state=0).fit(X)
    sentence = f"The best mixture has {largest} components, the largest number that was fitted. Try larger numbers."
    assert best.summary().warnings.count(sentence) == n_warnings


@pytest.mark.parametrize("option", ["trim", "labels"])
def test_summary_of_a_model_selection_omits_criteria_with_trim_or_labels(option, frame):
    search = GaussianMixtureIC([2], covariance_type="full", random_state=0, trim=0.1 if option == "trim" else 0.0)
    search.fit(frame, labels=[0, *[None] * (len(frame) - 1)] if option == "labels" else None)
    statistics = search.summary().statistics
    assert [statistics[name] for name in ("log_likelihood", "bic", "icl")] == [None] * 3
    assert np.isfinite(search.results_["bic"][search.best_index_])
    assert search.summary(frame).statistics["bic"] == pytest.approx(search.bic(frame), rel=1e-13)


def test_tidy_reports_weights_means_deviations_and_overlaps(gm):
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


def test_tidy_reports_minus_1_for_components_without_a_neighbour():
    estimator = GaussianMixture()
    estimator.mixture_ = Mixture([1.0], [[0.0]], [1.0], FAMILIES["spherical"])
    assert (estimator.tidy()["nearest"].tolist(), estimator.tidy()["overlap"].isna().tolist()) == ([-1], [True])
    estimator.mixture_ = Mixture([0.5, 0.0, 0.5], [[0.0], [1.0], [2.0]], [1.0, 1.0, 1.0], FAMILIES["spherical"])
    assert estimator.tidy()["nearest"].tolist() == [2, -1, 0]


@pytest.mark.parametrize("library", LIBRARIES)
def test_data_frames_come_from_the_library_of_the_training_data(library, X):
    table = LIBRARIES[library](dict(zip("abc", X.T, strict=True)))
    gm = GaussianMixture(3, random_state=0).fit(table)
    for frame in (gm.tidy(), gm.glance(), gm.glance(table), gm.augment(table), gm.summary().to_frame()):
        assert type(frame) is type(table)
    unpickled = pickle.loads(pickle.dumps(gm))
    assert type(unpickled.tidy()) is type(table)


@pytest.mark.parametrize("library", LIBRARIES)
def test_model_files_do_not_depend_on_the_library_of_the_rows(library, X, tmp_path):
    table = LIBRARIES[library](dict(zip("abc", X.T, strict=True)))
    pq.write_table(pa.table(dict(zip("abc", X.T, strict=True))), tmp_path / "rows.parquet")
    for name, rows in ("frame.gmm", table), ("file.gmm", tmp_path / "rows.parquet"):
        GaussianMixture(3, random_state=0).fit(rows).save(tmp_path / name)
    assert (tmp_path / "frame.gmm").read_bytes() == (tmp_path / "file.gmm").read_bytes()


def test_a_loaded_estimator_has_the_same_summary(gm, tmp_path):
    gm.save(tmp_path / "a.gmm")
    gm.save(tmp_path / "b.gmm")
    loaded = GaussianMixture.load(tmp_path / "a.gmm")
    assert (tmp_path / "a.gmm").read_bytes() == (tmp_path / "b.gmm").read_bytes()
    assert str(loaded.summary()) == str(gm.summary())
    # Files do not contain the duration of a fit, so that equal fits have equal files.
    assert notebook_line(loaded) == notebook_line(gm).rpartition(", ")[0]


def test_augment_adds_columns_and_keeps_the_data_frame_unchanged(gm, frame):
    frame.index = frame.index[::-1] + 7
    table = gm.augment(frame)
    pd.testing.assert_frame_equal(table[frame.columns], frame)
    np.testing.assert_array_equal(table["component"], gm.predict(frame))
    np.testing.assert_allclose(table["uncertainty"], 1 - gm.predict_proba(frame).max(axis=1), atol=1e-15)
    np.testing.assert_array_equal(table["log_density"], gm.score_samples(frame))
    assert list(frame.columns) == ["length", "50% & <b>", "mass_g"]
    renamed = frame.rename(columns={"length": "component"})
    clashing = GaussianMixture().fit(renamed)
    with pytest.raises(ValueError, match="X already has a column called 'component'"):
        clashing.augment(renamed)


def test_augment_warns_of_rows_where_the_mixture_has_no_mass(gm, frame):
    table = gm.augment(frame)
    np.testing.assert_array_equal(table["p_value"], gm.mixture_.density_p_value(frame))
    with pytest.warns(RuntimeWarning, match=r"^180 of 180 rows lie where the mixture has no mass \(p-value < 1e-06\)"):
        distant = gm.augment(frame * 1000)
    assert distant["p_value"].max() < 1e-6
    gm.augment(frame.head(3) * 1000)  # three rows are too few for a warning
    gm.augment(pd.concat([frame] * 6 + [frame.head(8) * 1000]))  # eight of 1,088 rows (less than 1%) are too few, too
    with_missing = frame.mask(frame == frame.iloc[0])
    assert np.isnan(gm.augment(with_missing)["p_value"]).tolist() == [True] + [False] * 179
    assert np.isnan(gm.augment(frame * 1000, X_error=np.ones(3))["p_value"]).all()


def test_augment_p_values_of_a_wide_component_are_not_small(rng):
    rows = (
        rng.normal(size=(400, 2)) * np.repeat([1e-3, 1.0], [300, 100])[:, None] + np.repeat([0, 9], [300, 100])[:, None]
    )
    fitted = GaussianMixture(2, random_state=0).fit(rows)
    assert fitted.augment(rows)["p_value"].min() > 1e-5


def test_augment_does_not_warn_of_rows_of_noise(rng):
    rows = np.concatenate([rng.normal(0, 1, size=(150, 2)), rng.uniform(-90, 90, size=(30, 2))])
    fitted = GaussianMixture(1, noise=True, random_state=0).fit(rows)
    table = fitted.augment(rows)
    np.testing.assert_array_equal(table["p_value"], fitted.mixture_.without_noise.density_p_value(rows))
    assert ((table["p_value"] < 1e-6) & (table["component"] == -1)).sum() > 10


def test_augment_finds_the_features_among_other_columns(gm, frame):
    expected = gm.augment(frame)
    with_text = frame.assign(region="north")[["mass_g", "region", "length", "50% & <b>"]]
    table = gm.augment(with_text)
    pd.testing.assert_frame_equal(table[with_text.columns], with_text)
    pd.testing.assert_frame_equal(table.drop(columns="region")[expected.columns], expected)
    with pytest.raises(ValueError, match=r"(?s)feature names should match.*missing.*- mass_g"):
        gm.augment(with_text.drop(columns="mass_g"))


@pytest.mark.parametrize("kind", [GaussianMixture, gaussmix.GaussianMixtureDetector])
def test_explain_finds_the_features_among_other_columns(kind, frame):
    fitted, with_text = kind(2, random_state=0).fit(frame), frame.assign(region="north")[::-1]
    pd.testing.assert_frame_equal(fitted.explain(with_text).to_frame(), fitted.explain(frame[::-1]).to_frame())


def test_augment_numbers_the_features_of_arrays(X, tmp_path):
    fitted = GaussianMixture(3, random_state=0).fit(X)
    table = fitted.augment(X)
    assert list(table.columns) == ["x0", "x1", "x2", "component", "uncertainty", "log_density", "p_value"]
    np.testing.assert_array_equal(table["x1"], X[:, 1])
    np.save(tmp_path / "rows.npy", X)
    pd.testing.assert_frame_equal(fitted.augment(gaussmix.open(tmp_path / "rows.npy")), table)
    np.save(tmp_path / "many.npy", np.zeros((200_000, 3)))
    with pytest.raises(TypeError, match="augment needs an array or a data frame in memory"):
        fitted.augment(gaussmix.open(tmp_path / "many.npy", memory="1 MB"))


def test_noise_has_its_own_row_in_tidy_and_summary(rng):
    rows = np.concatenate([rng.normal(0, 1, size=(150, 2)), rng.uniform(-9, 9, size=(30, 2))])
    fitted = GaussianMixture(1, noise=True, random_state=0).fit(rows)
    table = fitted.tidy()
    assert table["component"].tolist() == [0, -1]
    np.testing.assert_allclose(table["weight"], [fitted.weights_[0], fitted.noise_weight_])
    p, weight = fitted.predict_proba(rows)[:, 0], rng.integers(1, 5, size=len(rows)).astype(float)
    np.testing.assert_allclose(fitted.summary(rows).components["size"], [p.sum(), (1 - p).sum()])
    np.testing.assert_allclose(fitted.summary(rows, weight).components["size"], [weight @ p, weight @ (1 - p)])
    np.testing.assert_allclose(fitted.augment(rows)["uncertainty"], np.minimum(p, 1 - p), atol=1e-14)
    assert parse_components(fitted.summary())[-1][:2] == ["noise", f"{fitted.noise_weight_:.4f}"]


def test_the_text_of_a_summary_shows_weights_means_and_deviations(gm, frame):
    header, *rows = parse_components(gm.summary(frame))
    assert header == ["component", "weight", "size", "length", "50% & <b>", "mass_g", "nearest", "overlap"]
    for k, row in enumerate(rows):
        assert row[:2] == [str(k), f"{gm.weights_[k]:.4f}"]
        mean, deviation = map(float, row[3].split(" ± "))
        assert mean == pytest.approx(gm.means_[k, 0], abs=0.005)
        assert deviation == pytest.approx(np.sqrt(gm.covariances_[k, 0, 0]), abs=0.005)


def test_the_text_of_a_summary_transposes_and_truncates_large_tables(rng):
    many_features = GaussianMixture(2, covariance_type="diag", random_state=0).fit(rng.normal(size=(60, 12)))
    header, *rows = parse_components(many_features.summary())
    assert header == ["component", "0", "1"]
    assert [row[0] for row in rows] == ["weight", "size", *(f"x{j}" for j in range(12)), "nearest", "overlap"]
    many_components = GaussianMixture(14, covariance_type="diag", random_state=0).fit(rng.normal(size=(400, 20)))
    assert parse_components(many_components.summary())[0][-1] == "… 5 more"


def test_summary_in_html_and_latex_escapes_names_and_shows_all_values(gm, frame):
    summary = gm.summary(frame)
    html, latex = summary._repr_html_(), summary.to_latex()
    assert "<b>" not in re.sub(r"<p><b>|</b></p>", "", html)
    assert "50% &amp; &lt;b&gt;" in html
    assert r"50\% \& <b> & mass\_g" in latex
    for row in parse_components(summary)[1:]:
        for cell in row:
            assert cell in html
            assert cell.replace("±", r"$\pm$") in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 2


def test_summary_repeats_the_warnings_of_the_fit(frame):
    frame["constant"] = 3.0
    with pytest.warns(RuntimeWarning, match="constant"):
        fitted = GaussianMixture(2, random_state=0).fit(frame)
    assert "feature 'constant': the column is constant" in str(fitted.summary())
    with pytest.warns(RuntimeWarning, match="could not be fitted"):
        search = GaussianMixtureIC([2, 3], covariance_type=["full", "EII"], random_state=0).fit(frame)
    assert "- 2 of 4 candidates could not be fitted: 2 × singular covariance." in str(search.summary())
    assert "constant" in fitted.summary()._repr_html_()


def test_summary_reports_why_a_fit_stopped(frame):
    with pytest.warns(Warning, match="did not converge"):
        fitted = GaussianMixture(3, max_iter=1, tol=0.0, random_state=0).fit(frame)
    assert "after 1 step. max_iter was reached" in str(fitted.summary())
    assert fitted.glance()["converged"].tolist() == [False]
    assert "1 step, not converged" in notebook_line(fitted)


def test_the_notebook_line_describes_the_fit(gm):
    mean = f"{gm.lower_bound_:.4g}".replace("-", "−")
    pattern = rf"3 components, full, 180 × 3, {mean} nats per row, {gm.n_iter_} steps, \d+ ms"
    assert re.fullmatch(pattern, notebook_line(gm))


def test_the_repr_of_a_fit_is_an_expression_as_in_scikit_learn(gm):
    assert repr(gm) == repr(clone(gm)) == "GaussianMixture(n_components=3, random_state=0)"
    assert repr(make_pipeline(gm)) == "Pipeline(steps=[('gaussianmixture',\n" + " " * 17 + f"{gm!r})])"


def test_summary_of_a_mixture_set_by_hand_omits_facts_about_a_fit():
    by_hand = GaussianMixture()
    by_hand.mixture_ = Mixture([0.5, 0.5], [[0.0], [9.0]], [1.0, 1.0], FAMILIES["spherical"], ["x"])
    assert notebook_line(by_hand) == "2 components, spherical, 1 feature"
    text = str(by_hand.summary())
    assert "1 feature (x)" in text
    assert "stopped" not in text
    assert by_hand.glance()["n_rows"].tolist() == [None]


def test_summary_counts_missing_values(frame, tmp_path):
    with_missing = frame.mask(np.random.default_rng(0).random(frame.shape) < 0.1)
    n_missing = int(with_missing.isna().sum().sum())
    gm = GaussianMixture(2, random_state=0).fit(with_missing)
    gm.save(tmp_path / "m.gmm")
    for fitted in (gm, GaussianMixture.load(tmp_path / "m.gmm")):
        assert f"mass_g), {n_missing} cells missing\n" in str(fitted.summary())
        assert fitted.glance()["n_missing"].tolist() == [n_missing]
    assert "1 cell missing\n" in str(gm.summary(frame.assign(mass_g=[np.nan, *frame["mass_g"][1:]])))
    assert "missing" not in str(gm.summary(frame))


def test_summary_after_partial_fit_of_few_rows_has_the_statistics_of_a_fit(rng):
    rows = rng.normal(size=(100, 1))
    gm = GaussianMixture(2, random_state=0).fit(rows[:50])
    with pytest.warns(RuntimeWarning, match="begins a new stream"):
        gm.partial_fit(rows[:60], sample_weight=np.full(60, 3.0))
    gm.partial_fit(rows[60:], sample_weight=np.full(40, 3.0))
    assert gm.tidy()["size"].sum() == pytest.approx(300)
    statistics = gm.summary().statistics
    assert statistics["log_likelihood"] == pytest.approx(300 * gm.lower_bound_, rel=1e-13)
    assert (statistics["n_rows"], statistics["bic"]) == (100, pytest.approx(gm.bic(rows, np.full(100, 3.0)), abs=0.6))
    assert gm.partial_fit(rows[:1], sample_weight=[0.0]).glance()["n_rows"].tolist() == [101]


def test_tidy_after_online_steps_counts_the_weights_of_all_rows(rng, tmp_path):
    rows = rng.normal(size=(LEAF_ROWS + STEP_ROWS + 9, 1))
    weight, gm = rng.uniform(1.0, 3.0, size=len(rows)), GaussianMixture(2, random_state=0)
    for start, end in pairwise([0, LEAF_ROWS, LEAF_ROWS + 5, len(rows)]):
        gm.partial_fit(rows[start:end], sample_weight=weight[start:end])
        assert gm.tidy()["size"].sum() == pytest.approx(weight[:end].sum(), rel=1e-12)
        is_single_fit = end == LEAF_ROWS  # online steps have no log-likelihood of all rows
        assert (gm.summary().statistics["log_likelihood"] is not None) == is_single_fit
    gm.save(tmp_path / "stream.gmm")
    pd.testing.assert_frame_equal(GaussianMixture.load(tmp_path / "stream.gmm").tidy(), gm.tidy())


@pytest.mark.heavy
def test_tidy_without_a_data_frame_library_reports_what_to_install():
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['pandas', 'polars', 'pyarrow']))\n"
        "from gaussmix import GaussianMixture\n"
        "gm = GaussianMixture(1).fit([[0.0], [1.0], [2.0]])\n"
        "print(len(str(gm.summary())) > 0)\n"
        "try:\n    gm.tidy()\nexcept ImportError as error:\n    print(error)\n"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "True\nA table of results needs pandas, polars or pyarrow. Install one of them.\n"


def test_setting_a_sorted_mixture_keeps_the_row_count_but_not_the_likelihood(gm):
    before, gm.mixture_ = gm.mixture_, gm.mixture_.sorted("mean", feature="length")
    assert gm.tidy()["mean_length"].is_monotonic_increasing
    np.testing.assert_allclose(gm.tidy()["size"].sum(), 180)
    assert gm.glance()["log_likelihood"].tolist() == [None]
    gm.mixture_ = before[0]
    assert gm.glance()["n_rows"].tolist() == [None]
    gm.means_ = np.zeros((2, 3))  # one mean of three is missing
    assert repr(gm) == "GaussianMixture(n_components=3, random_state=0)"


def test_summary_reports_the_certificate_and_the_number_of_agreeing_runs(gm):
    outcome = Outcome("It was enough.", True, 7.1e-5, 0.0125, rate=0.9, n_starts=10, n_starts_at_best=3)
    gm.outcome_ = outcome
    text = str(gm.summary())
    assert "steps. It was enough." in text
    gain = "Further steps may gain 7.1e-05 nats per row and change 1.2 % of the labels."
    assert f"maximum         The fit is near a maximum. {gain}" in text
    assert ", near a maximum," in notebook_line(gm)
    assert "starts          3 of 10 agree with the best" in text
    assert gm.glance()["n_starts_at_best"].tolist() == [3]
    assert gm.glance()["remaining_gain"].tolist() == [7.1e-5]
    gm.outcome_ = replace(outcome, is_maximum=False, remaining_gain=None, label_change_fraction=None)
    assert "maximum         The fit is not near a maximum: it is at a saddle point, on a flat" in str(gm.summary())
    assert ", not near a maximum," in notebook_line(gm)
    gm.outcome_ = replace(outcome, n_starts=1, is_maximum=None, remaining_gain=None, label_change_fraction=None)
    assert "starts" not in str(gm.summary())
    assert "maximum" not in str(gm.summary()) + notebook_line(gm)


def test_a_notebook_shows_the_fit_above_the_parameters(gm):
    for html in (gm._repr_html_(), gm._repr_mimebundle_()["text/html"]):
        assert html.startswith(f"<div><p><b>{notebook_line(gm)}</b></p><svg ")
        assert "sk-container-id" in html
    assert gm._repr_mimebundle_()["text/plain"] == repr(gm)


def test_a_notebook_shows_only_the_parameters_if_there_is_no_mixture(gm):
    assert "<svg role" not in GaussianMixture(2)._repr_html_()
    assert "sk-container-id" in GaussianMixture(2)._repr_html_()
    gm.means_ = [[1.0]]
    assert gm._repr_html_() == "<pre>GaussianMixture(n_components=3, random_state=0)</pre>"


def test_summary_supports_covariances_whose_sum_is_singular():
    """Check two covariances that are positive definite, although their sum is singular in double precision."""
    flat = [[[7.0, 35.0], [35.0, 175.00000000000063]], [[38.0, 190.0], [190.0, 950.0000000000185]]]
    mixture = Mixture([0.5, 0.5], np.zeros((2, 2)), flat, FAMILIES["full"])
    assert np.isfinite(mixture.log_density([[1.0, 5.0]])).all()
    summary = as_estimator(mixture).summary()
    assert summary.components["nearest"].tolist() == [-1, -1]
    assert "± 30.8" in str(summary)
