"""Count the right answers of gaussmix and of scikit-learn on the cases of tests/trust, which all have an answer.

    python -m bench.pages.trust                # all of them, a few minutes; rewrites bench/results/trust.md
    python -m bench.pages.trust -k float32     # those with this in their name, printed only

Each estimator works through the cases in a process of its own, with default parameters except those that a case sets.
An answer is right or wrong, or the input is refused with a clear error (ValueError or TypeError). Wrong are a number
that is off, NaN, another error, and no answer within the time limit.
"""

from __future__ import annotations

import multiprocessing
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from sklearn.mixture import GaussianMixture as Theirs

from bench.pages.base import Page, facts, parser_of
from gaussmix import GaussianMixture as Ours

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "trust"))
from trust_cases import CASES, Wrong  # found by the line above

CONTESTANTS = {"gaussmix": Ours, "scikit-learn": Theirs}
VERDICTS = RIGHT, REFUSED, WRONG = "right", "refused with a clear error", "wrong"
SECONDS = 30  # the limit for a case; the slowest takes less than a second

Verdict = tuple[str, str]  # one of VERDICTS, and why


def judge(contestant: str, name: str) -> Verdict:
    """The verdict on one case."""
    warnings.simplefilter("ignore")
    try:
        CASES[name].check(CONTESTANTS[contestant])
    except Wrong as error:
        return WRONG, str(error)
    except (ValueError, TypeError) as error:
        return REFUSED, str(error)
    except Exception as error:
        return WRONG, f"{type(error).__name__}: {error}"
    return RIGHT, ""


def work(contestant: str, connection: Connection) -> None:
    """Judge the cases whose names come in, until None comes."""
    while (name := connection.recv()) is not None:
        connection.send(judge(contestant, name))


def verdicts(contestant: str, names: list[str]) -> dict[str, Verdict]:
    """Judge cases in another process, and in a new one after a case that hangs or crashes."""
    context, found, process = multiprocessing.get_context("spawn"), {}, None
    for name in names:
        if process is None:
            connection, theirs = context.Pipe()
            process = context.Process(target=work, args=(contestant, theirs), daemon=True)
            process.start()
            theirs.close()
        connection.send(name)
        try:
            answered = connection.poll(SECONDS)
            found[name] = connection.recv() if answered else (WRONG, f"no answer within {SECONDS} s")
        except EOFError:
            answered, found[name] = False, (WRONG, "the process died")
        if not answered:
            process.kill()
            process.join()
            process = None
    if process is not None:
        connection.send(None)
        process.join()
    return found


def counts(results: dict[str, dict[str, Verdict]]) -> Iterator[tuple[object, ...]]:
    """Rows of a table: counts for each item of the list, and of all."""
    names = list(results["gaussmix"])
    for item in [*dict.fromkeys(CASES[name].item for name in names), "all"]:
        of_item = [name for name in names if item in ("all", CASES[name].item)]
        found = [Counter(of_case[name][0] for name in of_item) for of_case in results.values()]
        yield item, len(of_item), *(count[verdict] for count in found for verdict in VERDICTS)


def _examples(found: dict[str, Verdict]) -> list[str]:
    """The first three wrong answers to each item, and what is wrong with them."""
    wrong: dict[str, list[str]] = {}
    for name, (verdict, why) in found.items():
        if verdict == WRONG:
            wrong.setdefault(CASES[name].item, []).append(f"- {CASES[name].item}: {name}: {why.splitlines()[0]}")
    return [line for lines in wrong.values() for line in lines[:3]]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("-k", default="", help="only cases with this in their name or item")
    arguments = parser.parse_args()
    names = [name for name, case in CASES.items() if arguments.k in name or arguments.k in case.item]
    results = {contestant: verdicts(contestant, names) for contestant in CONTESTANTS}
    kept = "date", "commit", "processor", "system", "gaussmix", "scikit-learn", "NumPy, SciPy"
    machine = facts()
    machine = {fact: machine[fact] for fact in kept}
    page = Page(__file__, "Right, refused or wrong", "the cases of `tests/trust`", machine)
    page.say(
        "Estimators have their defaults: scikit-learn adds reg_covar=1e-6 to each variance, whatever the unit of the",
        "data. Most of its wrong answers to scales and units come from that. The cases without ridge set it to 0.",
        "",
        "Outliers are tried from every start: one at 1e6 or 1e15, and two at different places, with a component more",
        "for each.",
    )
    verdicts_of = " | ".join(f"{contestant}: {verdict}" for contestant in results for verdict in VERDICTS)
    page.table(f"inputs | cases | {verdicts_of}", counts(results))
    unexpected = [
        name for name, (verdict, _) in results["gaussmix"].items()
        if verdict == WRONG or (verdict == REFUSED and not CASES[name].may_refuse)
    ]  # fmt: skip
    for name in unexpected:
        print(f"gaussmix, {name}: {': '.join(results['gaussmix'][name])}")
    if not arguments.k:
        page.say("## Wrong answers: three of each kind of input")
        for contestant, found in results.items():
            page.say(f"### {contestant}", "", *(_examples(found) or ["None."]))
        page.write()
    sys.exit(bool(unexpected))


if __name__ == "__main__":
    main()
