"""Make changes to the code that once no test noticed, and fail if one goes unnoticed now.

Usage: survivors.py      as `nox -s survivors` does

Each change is made in its own copy of the sources, where its test must fail. Without changes all these tests must pass.
Where the text that a change replaces is gone, write the change anew.
docs/develop/mutants.md says where the changes come from.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gaussmix import _core

ROOT = Path(__file__).parents[1]
PACKAGE = Path("src") / "gaussmix"
COPIED = ("cpp", "src", "tests", "examples", "CMakeLists.txt", "pyproject.toml")
FAILED = 1  # pytest's exit status where tests were found and one failed


@dataclass(frozen=True)
class Change:
    """A change that is wrong.

    Parameters
    ----------
    file : of the sources.
    before, after : text that stands there once, and what replaces it.
    test : fails then.
    """

    file: str
    before: str
    after: str
    test: str


CHANGES = [
    Change(  # a component without rows has pooled covariances after the later first updates of a factor analyser
        "src/gaussmix/em/maximise.py",
        "[first.put(places, current.take(places)) if places.size else first]",
        "[first]",
        "tests/laws/test_factor_analyzers.py::test_a_component_without_rows_keeps_factors_to_start_with",
    ),
    Change(  # weights sum to less than 1 when a component was dropped
        "src/gaussmix/em/remedies.py",
        "return replace(some, weights=some.weights * (model.weights.sum() / some.weights.sum()))",
        "return some",
        "tests/estimators/test_degenerate.py::test_components_that_are_left_have_all_of_the_weight_at_once",
    ),
    Change(  # a collapse names the feature with the smallest unit
        "src/gaussmix/em/remedies.py",
        "return int((left / spread(model)).argmin())",
        "return int(left.argmin())",
        "tests/estimators/test_degenerate.py::test_a_collapse_names_the_same_feature_in_other_units",
    ),
    Change(  # fixed covariances that components share are not put back
        "src/gaussmix/covariances/base.py",
        "each = others.each\n",
        "each = self.each\n",
        "tests/laws/test_families.py::test_a_family_keeps_its_laws[tied]",
    ),
    Change(  # parts of a start are matched with labels by rows, not by weight
        "src/gaussmix/em/guided.py",
        "if part.row_weight is not None:",
        "if False:",
        "tests/estimators/test_labels.py::test_a_part_goes_to_the_label_of_most_weight",
    ),
    Change(  # callbacks see only the end
        "src/gaussmix/em/loop.py",
        "1 if stopping.is_watched else most",
        "most",
        "tests/laws/test_fit_paths.py::test_every_path_leads_to_the_same_end[full-auto-watched]",
    ),
    Change(  # a row may be noise although a table says which component it has
        "src/gaussmix/em/known.py",
        "prior[:, -1] = prior[:, :-1].min(axis=1)",
        "prior[:, -1] = 1.0",
        "tests/estimators/test_noise.py::test_rows_of_known_label_are_no_noise",
    ),
    Change(  # of a start from fewer components the likelihood counts although a component collapsed
        "src/gaussmix/fit/search.py",
        "if run is not None and run.trace.collapsed:",
        'if run is not None and run.trace.collapsed and not plan.stage.endswith("from fewer "):',
        "tests/estimators/test_mixture_ic.py::test_a_start_from_fewer_components_that_collapses_changes_nothing",
    ),
    Change(  # a start from fewer components replaces one of a higher posterior
        "src/gaussmix/fit/search.py",
        "return result.evidence.log_likelihood + problem.objective.log_prior(result.run.model) * problem.data.unit",
        "return result.evidence.log_likelihood",
        "tests/estimators/test_priors.py::test_a_start_from_fewer_components_is_judged_by_the_posterior",
    ),
    Change(  # scikit-learn's callbacks get the last mixture of a candidate, not the best
        "src/gaussmix/fit/watch.py",
        "self._best = better(self._best, state)",
        "self._best = state",
        "tests/estimators/test_watching.py::test_the_task_of_a_candidate_ends_with_its_best_start",
    ),
    Change(  # `n_agreed` counts too few starts
        "src/gaussmix/fit/fitted.py",
        "max((gain for gain in left if math.isfinite(gain)), default=0.0)",
        "min((gain for gain in left if math.isfinite(gain)), default=0.0)",
        "tests/decisions/test_stopping.py::test_a_start_agrees_with_the_best_where_it_had_the_difference_still_to_gain",
    ),
    Change(  # a fit goes on from the checkpoint of other labels
        "src/gaussmix/fit/checkpoint.py",
        '"what labels says": _digest(known),',
        '"what labels says": _digest(()),',
        "tests/estimators/test_checkpoint.py::test_other_data_are_refused",
    ),
    Change(  # a warm start of a fit with noise goes on from a mixture without
        "src/gaussmix/fit/problem.py",
        " and (model.noise is None) == (self.data.noise is None)\n",
        "\n",
        "tests/estimators/test_runs.py::test_a_warm_start_with_another_model_begins_anew",
    ),
    Change(  # a checkpoint is not written between two starts
        "src/gaussmix/fit/checkpoint.py",
        "            if stand.number < len(runs):\n",
        "            if False:\n",
        "tests/estimators/test_checkpoint.py::test_the_end_of_each_start_is_noted",
    ),
    Change(  # the sample of a file with rising weights is not that of the same rows in memory
        "src/gaussmix/sources/survey.py",
        " or self._limit * fair < 1 + 1e-9:",
        ":",
        "tests/sources/test_passes.py::test_a_sample_for_which_the_survey_kept_too_few_rows_takes_a_pass_of_its_own",
    ),
    Change(  # sums overflow for the weights of a file
        "src/gaussmix/sources/files/base.py",
        " & (row_weight <= LARGEST_WEIGHT)",
        "",
        "tests/sources/test_files.py::TestSentences::test_weights_that_no_fit_can_use",
    ),
    Change(  # a row with errors that lies too far from all components has NaN for responsibilities
        "cpp/kernels/incomplete/by_row.hpp",
        "min(distance, Vec::broadcast(kLargest)) + log_det",
        "distance + log_det",
        "tests/kernels/test_incomplete.py::test_a_distance_that_overflows_is_the_largest_double",
    ),
]


def main() -> None:
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        sound = threads.submit(status, [change.test for change in CHANGES])
        found = list(threads.map(lambda change: status([change.test], change), CHANGES))
    wrong = ["A test fails without any change."] if sound.result() else []
    for change, after in zip(CHANGES, found, strict=True):
        if after != FAILED:
            why = (
                "is not there once"
                if after is None
                else f"became {change.after.strip()!r}, and {change.test} did not fail"
            )
            wrong.append(f"{change.file}: {change.before.strip()!r} {why}")
    print("\n".join(wrong) or f"Tests notice all {len(CHANGES)} changes.")
    sys.exit(bool(wrong))


def status(tests: Sequence[str], change: Change | None = None) -> int | None:
    """The exit status of tests after a change; None if the change can't be made."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        copy_to(scratch)
        if change is not None:
            file = scratch / change.file
            text = file.read_text(encoding="utf-8")
            if text.count(change.before) != 1:
                return None
            file.write_text(text.replace(change.before, change.after), encoding="utf-8")
            if file.suffix == ".hpp":
                build_core(scratch)
        return run([sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "--all", *tests], scratch).returncode


def copy_to(scratch: Path) -> None:
    """Copy sources and tests, and the core that is installed."""
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, scratch / name)
    core = Path(_core.__file__ or "")
    shutil.copy(core, scratch / PACKAGE / core.name)


def build_core(scratch: Path) -> None:
    """Compile the core as fast as can be: for one instruction set, and without optimisation."""
    fast = ["-DCMAKE_BUILD_TYPE=Debug", "-DGAUSSMIX_KERNEL_OPTIMISATION=-O0", "-DGAUSSMIX_COMPILES_avx512=OFF"]
    configure = ["cmake", "-B", "build", f"-DPython_EXECUTABLE={sys.executable}", *fast]
    for command in (configure, ["cmake", "--build", "build", "-j2"]):
        run(command, scratch).check_returncode()
    (core,) = (scratch / "build").glob("_core*")
    shutil.copy(core, scratch / PACKAGE / Path(_core.__file__ or "").name)


def run(command: Sequence[str], scratch: Path) -> subprocess.CompletedProcess[str]:
    """Run a command on the copy of the sources, and keep what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(scratch / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(command, cwd=scratch, env=environment, stdout=subprocess.PIPE, text=True, check=False)


if __name__ == "__main__":
    main()
