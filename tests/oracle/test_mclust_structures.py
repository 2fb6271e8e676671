"""R's mclust on all fourteen structures: the same maximum by the same steps, or one as high (mclust/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest
from mclust_rule import MclustStopping, RecordingSource, run_from_labels
from tables import rows_of

from gaussmix.engines import choose
from gaussmix.errors import SingularCovariance
from gaussmix.families import family_named

FOLDER = Path(__file__).parent / "mclust"
REFERENCES = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
SEARCHED = {"VEI", "VEE", "VEV", "EVE", "VVE"}  # M-steps that are no formula


def cases(wanted):
    """Fits for which `wanted(name, model, n_components)`."""
    return [
        pytest.param(name, fit, id=f"{name}-{fit['model']}{fit['G']}")
        for name, reference in REFERENCES.items()
        for fit in reference["structures"]
        if wanted(name, fit["model"], fit["G"])
    ]


def fitted(name, fit, kind):
    """Log-likelihood (a total, nats), steps, free parameters and ICL (mclust's sign) from mclust's labels."""
    rows = rows_of(name)
    labels = np.array(REFERENCES[name]["start_labels"][str(fit["G"])], dtype=np.int32) - 1
    source, engine = RecordingSource(rows, given=labels), choose(1)
    stopping = MclustStopping(REFERENCES[name][f"control_{kind}"]["tol"][0], total=len(rows))
    mixture, trace, _ = run_from_labels(source, engine, fit["G"], family_named(fit["model"]), stopping)
    if trace.frozen:
        raise SingularCovariance(trace.frozen)
    total = trace.last * len(rows)
    surest = np.log(engine.responsibilities(source.whole, source.parameters).max(axis=1)).sum()
    icl = 2 * total - mixture.n_parameters * np.log(len(rows)) + 2 * surest
    return total, trace.n_steps, mixture.n_parameters, icl


@pytest.mark.heavy(but=74)
@pytest.mark.parametrize(("name", "fit"), cases(lambda name, model, n_components: model not in SEARCHED))
def test_a_formula_takes_the_same_steps_to_the_same_numbers(name, fit):
    if fit["default"]["loglik"] is None:
        with pytest.raises(SingularCovariance):
            fitted(name, fit, "default")
        return
    log_likelihood, n_steps, n_parameters, icl = fitted(name, fit, "default")
    assert log_likelihood == pytest.approx(fit["default"]["loglik"], rel=1e-9)
    assert n_steps == fit["default"]["iterations"]
    assert n_parameters == fit["npar"]
    assert icl == pytest.approx(fit["icl"], rel=1e-6)


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "fit"), cases(lambda name, model, n_components: model in SEARCHED))
def test_a_search_ends_as_high_as_any_other(name, fit):
    """As mclust at either tolerance, and as a monotone EM in NumPy where there is one."""
    reached = [
        value for value in (fit["default"]["loglik"], fit["tight"]["loglik"], fit["monotone"]) if value is not None
    ]
    if not reached:
        with pytest.raises(SingularCovariance):
            fitted(name, fit, "tight")
        return
    log_likelihood, _, n_parameters, _ = fitted(name, fit, "tight")
    assert log_likelihood >= max(reached) - 1e-7 * abs(max(reached))
    assert n_parameters == fit["npar"]
