"""Make small changes to the code, one at a time, and print those that no test notices.

Usage: mutants.py [FILE...] [--tests PATHS] [--sample N] [--seed S]      as `nox -s mutants` does

A FILE is one such as em/stopping.py. cosmic-ray changes a copy of the sources in a scratch folder, and runs the tests
of the file there. With --sample it makes N changes to a file, drawn with seed S.
docs/develop/mutants.md lists the changes that are known to survive, with a reason for each.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shlex
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import MutationSpec, WorkerOutcome, WorkItem, WorkResult
from survivors import PACKAGE, ROOT, copy_to, run

# Tests of a file, or of the other files of a folder; the quickest first, because the first failure
# ends a run. {stem} is the name of the file, which is a part of the names of its family's tests.
TESTS = {
    "em/best_of.py": "tests/laws/test_restarts.py tests/laws/test_starts.py tests/oracle/test_mclust_structures.py",
    "em/criteria.py": "tests/decisions/test_choice.py tests/oracle/test_choice.py",
    "em/initial.py": "tests/laws/test_initial.py tests/laws/test_starts.py",
    "em/maximise.py": "tests/laws/test_pieces.py tests/laws/test_initial.py tests/laws/test_em.py",
    "em/objective.py": "tests/laws/test_priors.py",
    "em/ridge.py": "tests/laws/test_ridge.py",
    "em/stopping.py": "tests/decisions/test_stopping.py",
    "em/trace.py": "tests/estimators/test_runs.py tests/laws/test_pieces.py",
    "em": "tests/laws/test_pieces.py tests/laws/test_fast_path.py tests/laws/test_em.py tests/laws/test_odd_shapes.py",
    "families/base.py": "tests/estimators/test_registering.py tests/mixture/test_parts.py "
    "tests/laws/test_families.py tests/estimators/test_structures.py",
    "families/factor_analyzer.py": "tests/estimators/test_factor_analyzers.py tests/laws/test_factor_analyzers.py "
    "-k 'not lowers_the_likelihood'",
    "families/one_feature.py": "tests/estimators/test_structures.py",
    "families/structures.py": "tests/laws/test_common_axes.py tests/laws/test_families.py",
    "families": "tests/laws/test_families.py -k {stem}",
    "fit/checkpoint.py": "tests/estimators/test_checkpoint.py",
    "fit/candidates.py": "tests/decisions/test_choice.py tests/estimators/test_mixture_ic.py",
    "fit/fitted.py": "tests/decisions/test_stopping.py tests/estimators/test_watching.py",
    "fit/fit.py": "tests/laws/test_fit_paths.py tests/laws/test_one_call.py tests/estimators/test_runs.py "
    "tests/estimators/test_starts.py "
    "tests/estimators/test_growing.py tests/estimators/test_noise.py tests/estimators/test_trim.py "
    "-k 'not (tied or VVE or factor_analyzer or trim-)'",
    "fit/plan.py": "tests/laws/test_fit_paths.py tests/estimators/test_growing.py tests/estimators/test_starts.py "
    "tests/estimators/test_runs.py tests/estimators/test_checkpoint.py "
    "-k 'not (tied or VVE or factor_analyzer or trim-)'",
    "fit/problem.py": "tests/laws/test_fit_paths.py tests/estimators/test_runs.py tests/estimators/test_trim.py "
    "tests/estimators/test_noise.py tests/estimators/test_priors.py "
    "tests/estimators/test_mixture_ic.py tests/prediction/test_classifier.py "
    "-k 'not (check or tied or VVE or factor_analyzer or trim-)'",
    "fit/watch.py": "tests/estimators/test_watching.py",
    "fit": "tests/estimators/test_runs.py tests/estimators/test_mixture_ic.py "
    "tests/estimators/test_watching.py tests/estimators/test_failed_searches.py tests/estimators/test_priors.py "
    "-k 'not every_check'",
    "starts/gross.py": "tests/laws/test_gross.py",
    "starts/hierarchical.py": "tests/laws/test_hierarchical.py",
    "starts/sample.py": "tests/laws/test_ridge.py tests/laws/test_gross.py tests/laws/test_starts.py",
    "starts": "tests/laws/test_starts.py tests/estimators/test_starts.py",
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
    parser.add_argument("--tests", help="what pytest is to run; by default the tests of each file")
    parser.add_argument("--sample", type=int, help="make so many changes to a file, drawn at random; by default all")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing; 0 by default")
    arguments = parser.parse_args()
    files = arguments.files or [
        str(path.relative_to(ROOT / PACKAGE))
        for name in ("em", "families", "fit", "starts")
        for path in sorted((ROOT / PACKAGE / name).glob("*.py"))
    ]
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        copy_to(Path(scratch))
        for file in files:
            found = changes(Path(scratch), file, arguments.tests or tests_of(file), arguments.sample, arguments.seed)
            outcomes = Counter(outcome for outcome, _ in found)
            total += outcomes
            print(f"{file}: {counted(outcomes)}", flush=True)
            for outcome, description in found:
                if outcome == "survived":
                    print(description, flush=True)
    print(f"all: {counted(total)}")


def counted(outcomes: Counter[str]) -> str:
    return ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())) or "nothing to change"


def tests_of(file: str) -> str:
    """What pytest is to run for a file."""
    path = Path(file)
    return TESTS.get(file, TESTS[path.parts[0]]).format(stem=path.stem)


def changes(scratch: Path, file: str, tests: str, most: int | None, seed: int) -> list[tuple[str, str]]:
    """Outcome and description of changes to a file, all or `most`: "killed" by a test, "survived", or "incompetent"."""
    config, session = scratch / "cosmic-ray.toml", scratch / "cosmic-ray.sqlite"
    session.unlink(missing_ok=True)
    test = f"{shlex.quote(sys.executable)} -m pytest -x -q -n 0 {tests}"
    settings = f"module-path = '{PACKAGE / file}'\nexcluded-modules = []\ntest-command = {json.dumps(test)}\n"
    distributor = "[cosmic-ray.distributor]\nname = 'local'\n"
    config.write_text(f"[cosmic-ray]\n{settings}timeout = 3600\n{distributor}")
    printed(f"cosmic-ray init {config} {session}", scratch)
    if not leave_out(scratch, session, most, random.Random(f"{seed} {file}")):
        return []
    began = time.monotonic()
    printed(f"cosmic-ray baseline {config}", scratch)
    limit = 30 + 3 * (time.monotonic() - began)  # seconds; what takes longer hangs, and counts as noticed
    config.write_text(f"[cosmic-ray]\n{settings}timeout = {limit:.0f}\n{distributor}")
    printed(f"cosmic-ray exec {config} {session}", scratch)
    pairs = [json.loads(line) for line in printed(f"cosmic-ray dump {session}", scratch).splitlines()]
    return [described(item, result) for item, result in pairs if result and result["worker_outcome"] != "skipped"]


def leave_out(scratch: Path, session: Path, most: int | None, rng: random.Random) -> int:
    """Skip the changes that are not worth a run, and all but `most` of the others; the number that is left."""
    with use_db(str(session)) as database:
        items = {key_of(item): item for item in database.pending_work_items}
        used = [key for key in sorted(items) if is_used(scratch, items[key].mutations[0])]
        kept = set(used if most is None else rng.sample(used, min(most, len(used))))
        for key, item in items.items():
            if key not in kept:
                database.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))
    return len(kept)


def key_of(item: WorkItem) -> tuple[tuple[int, int], str, int]:
    """What tells a change from others, and does not depend on the order in which they were found."""
    mutation = item.mutations[0]
    return mutation.start_pos, mutation.operator_name, mutation.occurrence


def is_used(scratch: Path, mutation: MutationSpec) -> bool:
    """Whether a change is worth a run of the tests.

    Decorators such as `dataclass(frozen=True)` compute nothing, and the `*` of a signature is no product.
    """
    line = (scratch / mutation.module_path).read_text(encoding="utf-8").splitlines()[mutation.start_pos[0] - 1]
    is_code = not line.startswith("@") and line[mutation.start_pos[1] :][:2] != "*,"
    return is_code and re.match(USED, mutation.operator_name) is not None


def printed(command: str, scratch: Path) -> str:
    """What a command prints; ends this program if the command fails."""
    done = run(shlex.split(command), scratch)
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
