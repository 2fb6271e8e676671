"""Make small changes to the code, one at a time, and print those that no test notices.

Usage: mutants.py [FILE...] [--tests PATHS]      as `nox -s mutants` does; a FILE is one such as em/stopping.py

cosmic-ray changes a copy of the sources in a scratch folder, and runs the tests of the file's folder there.
docs/develop/mutants.md lists the changes that are known to survive, with a reason for each.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import MutationSpec, WorkerOutcome, WorkResult

from gaussmix import _core

ROOT = Path(__file__).parents[1]
PACKAGE = Path("src") / "gaussmix"
COPIED = ("src", "tests", "examples", "pyproject.toml")
# Tests of each folder, the quickest first: most changes do not live to see the last.
TESTS = {
    "em": "tests/decisions tests/estimators/test_runs.py tests/laws/test_restarts.py tests/laws/test_initial.py "
    "tests/laws/test_objective.py tests/laws/test_ridge.py tests/laws/test_em.py tests/laws/test_fast_path.py "
    "tests/laws/test_single.py tests/laws/test_odd_shapes.py tests/estimators/test_starts.py",
    "starts": "tests/laws/test_starts.py tests/laws/test_hierarchical.py tests/laws/test_gross.py "
    "tests/estimators/test_starts.py tests/laws/test_odd_shapes.py tests/laws/test_ridge.py",
    "families": "tests/laws/test_families.py tests/laws/test_common_axes.py tests/laws/test_factor_analyzers.py "
    "tests/meta/test_family_names.py tests/estimators/test_structures.py tests/laws/test_em.py",
    "selection": "tests/decisions tests/estimators/test_mixture_ic.py tests/estimators/test_parallel.py "
    "tests/estimators/test_many_blocks.py tests/oracle/test_choice.py tests/estimators/test_factor_analyzers.py",
}
# Of cosmic-ray's operators those that change what is computed and not only how: a comparison by its neighbour, a sum to
# a difference, a number by one, a condition to its opposite.
USED = (
    r"core/(NumberReplacer|AddNot|ReplaceTrueWithFalse|ReplaceFalseWithTrue|ReplaceAndWithOr|ReplaceOrWithAnd|"
    r"ReplaceBreakWithContinue|ReplaceContinueWithBreak|ZeroIterationForLoop|ReplaceUnaryOperator_(USub_UAdd|Delete_Not)|"
    r"ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|Pow_Mul|FloorDiv_Div|Mod_FloorDiv)|"
    r"ReplaceComparisonOperator_(Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Lt_Gt|Gt_Lt|LtE_GtE|GtE_LtE|Eq_NotEq|NotEq_Eq))$"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", help="paths below src/gaussmix; by default every file of the four folders")
    parser.add_argument("--tests", help="what pytest is to run; by default the tests of the folder of each file")
    arguments = parser.parse_args()
    files = arguments.files or [
        str(path.relative_to(ROOT / PACKAGE)) for name in TESTS for path in sorted((ROOT / PACKAGE / name).glob("*.py"))
    ]
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        copy_to(Path(scratch))
        for folder, tests in TESTS.items():
            chosen = [file for file in files if Path(file).parts[0] == folder]
            for outcome, description in changes(Path(scratch), chosen, arguments.tests or tests) if chosen else ():
                outcomes[outcome] += 1
                if outcome == "survived":
                    print(description, flush=True)
    print(", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())))


def copy_to(scratch: Path) -> None:
    """Copy sources and tests, and the core that is installed."""
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, scratch / name)
    core = Path(_core.__file__ or "")
    shutil.copy(core, scratch / PACKAGE / core.name)


def changes(scratch: Path, files: list[str], tests: str) -> list[tuple[str, str]]:
    """Outcome and description of every change to some files: "killed" by a test, "survived", or "incompetent"."""
    config, session = scratch / "cosmic-ray.toml", scratch / "cosmic-ray.sqlite"
    session.unlink(missing_ok=True)
    test = f"{shlex.quote(sys.executable)} -m pytest -x -q {tests}"
    paths = [str(PACKAGE / file) for file in files]
    settings = f"module-path = {json.dumps(paths)}\nexcluded-modules = []\ntest-command = {json.dumps(test)}\n"
    distributor = "[cosmic-ray.distributor]\nname = 'local'\n"
    config.write_text(f"[cosmic-ray]\n{settings}timeout = 3600\n{distributor}")
    began = time.monotonic()
    run(f"cosmic-ray baseline {config}", scratch)
    limit = 30 + 3 * (time.monotonic() - began)  # seconds; what takes longer hangs, and counts as noticed
    config.write_text(f"[cosmic-ray]\n{settings}timeout = {limit:.0f}\n{distributor}")
    run(f"cosmic-ray init {config} {session}", scratch)
    with use_db(str(session)) as database:
        for item in list(database.pending_work_items):
            if not is_used(scratch, item.mutations[0]):
                database.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))
    run(f"cosmic-ray exec {config} {session}", scratch)
    pairs = [json.loads(line) for line in run(f"cosmic-ray dump {session}", scratch).splitlines()]
    return [described(item, result) for item, result in pairs if result and result["worker_outcome"] != "skipped"]


def is_used(scratch: Path, mutation: MutationSpec) -> bool:
    """Whether a change is worth a run of the tests; decorators such as `dataclass(frozen=True)` compute nothing."""
    line = (scratch / mutation.module_path).read_text(encoding="utf-8").splitlines()[mutation.start_pos[0] - 1]
    return re.match(USED, mutation.operator_name) is not None and not line.startswith("@")


def run(command: str, scratch: Path) -> str:
    """What a command prints; ends this program if the command fails."""
    environment = {**os.environ, "PYTHONPATH": str(scratch / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        shlex.split(command), cwd=scratch, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout}")
    return done.stdout


def described(item: dict[str, Any], result: dict[str, Any]) -> tuple[str, str]:
    """The outcome of a change; its place, and its lines before and after."""
    (mutation,) = item["mutations"]
    place = f"{Path(mutation['module_path']).relative_to(PACKAGE)}:{mutation['start_pos'][0]}"
    diff = (result["diff"] or "").splitlines()
    lines = [f"{line[0]} {line[1:].strip()}" for line in diff if re.match(r"[+-](?![+-]{2})", line)]
    return result["test_outcome"] or "incompetent", "\n    ".join([place, *lines])


if __name__ == "__main__":
    main()
