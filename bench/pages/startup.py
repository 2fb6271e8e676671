"""Time what starts gaussmix: imports beside those of scikit-learn, and the command line's help.

    python -m bench.pages.startup    # a minute or two; writes bench/results/startup.md

Each figure is the least of several new processes, and the cases take turns. Python keeps the bytecode of all modules: a
first round, which may have to write it, does not count.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter

from bench.pages.base import Page, parser_of

ROUNDS = 9
LIBRARIES = "import safetensors.numpy, sklearn.base, sklearn.utils.multiclass, sklearn.utils.validation"
FIT = "; X = [[0, 0], [0, 1], [1, 0], [5, 5], [5, 6], [6, 5]]; fit = lambda: GaussianMixture(2).fit(X); fit()"
CASES = {
    "Python alone": ("-c", "pass"),
    "`import numpy`": ("-c", "import numpy"),
    "what gaussmix needs of scikit-learn": ("-c", LIBRARIES),
    "`from gaussmix import GaussianMixture`": ("-c", "from gaussmix import GaussianMixture"),
    "`from gaussmix import *`": ("-c", "from gaussmix import *"),
    "the same, and a fit": ("-c", "from gaussmix import *" + FIT),
    "the same, and a second fit": ("-c", "from gaussmix import *" + FIT + "; fit()"),
    "`import gaussmix`": ("-c", "import gaussmix"),
    "`gaussmix --version`": ("-m", "gaussmix", "--version"),
    "`gaussmix --help`": ("-m", "gaussmix", "--help"),
}
REASON = """\
Asked for: at most 0.1 s beyond what gaussmix needs of scikit-learn, and 0.2 s for the help. What the import
takes beyond that is the more than 200 modules of gaussmix itself, about 1 ms each: Python reads their bytecode
and makes their dataclasses. No other library is imported."""
OF_PROCESS = "seconds of a process, of the processor and of the clock"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def seconds_of_process(words: Sequence[str], source: Path | None = None) -> tuple[float, float]:
    """Seconds of the processor, and of the clock, of a new Python; `source` has packages that it finds first."""
    environment = ENVIRONMENT if source is None else {**ENVIRONMENT, "PYTHONPATH": str(source)}
    before, began = getrusage(RUSAGE_CHILDREN), perf_counter()
    subprocess.run([sys.executable, *words], env=environment, stdout=subprocess.DEVNULL, check=True)
    seconds, after = perf_counter() - began, getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, seconds


def main() -> None:
    parser_of(__doc__).parse_args()
    rounds = [[seconds_of_process(words) for words in CASES.values()] for _ in range(1 + ROUNDS)][1:]
    page = Page(__file__, "Imports, and the start of the command line", OF_PROCESS)
    least = [[min(each) for each in zip(*runs, strict=True)] for runs in zip(*rounds, strict=True)]
    rows = ((name, f"{processor:.2f}", f"{clock:.2f}") for name, (processor, clock) in zip(CASES, least, strict=True))
    page.table("process | processor | clock", rows)
    page.say(*REASON.splitlines())
    page.write()


if __name__ == "__main__":
    main()
