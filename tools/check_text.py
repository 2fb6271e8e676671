"""Check the language of docstrings, comments, messages and documentation against rules for unidiomatic patterns.

It prints the hits of each rule; `nox -s lint` fails if there are any. The texts of `EXCEPTIONS`, code blocks and code
in backticks of Markdown are not read.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^ *(```|~~~)")
MARKDOWN, DOCSTRING, COMMENT, MESSAGE = "Markdown", "docstring", "comment", "message of an error or a warning"
SUMMARY, FIRST = "first line of a docstring", "first line of a comment"
MESSAGE_CALLS = ("Error", "BadTable", "warn")  # names of functions whose arguments are messages end in this way


class Rule(NamedTuple):
    """A pattern, the kinds of text that are searched, and advice."""

    pattern: str
    kinds: tuple[str, ...]
    advice: str


PROSE, CODE = (MARKDOWN, DOCSTRING, MESSAGE), (DOCSTRING, COMMENT, FIRST, MESSAGE)
ALL = (MARKDOWN, *CODE)
NOT_AFTER_NO = "longer|more|such|less|way|need|better|higher|larger|worse|fewer|smaller|use|help|further"
RULES = {
    "L1": Rule(rf"(?<!here )\b(is|are) no (?!{NOT_AFTER_NO})[a-z]{{3,}}", ALL, 'write "is not a"'),
    "L2": Rule(r"\b[Nn]one for (none|nothing|others|one)\b|\bNone of (the )?others\b", CODE, "say what None means"),
    "L3": Rule(r"^(#|//) of (?!course)", (FIRST,), "begin a comment with a noun"),
    "L4": Rule(r"\b[Ss]o (many|few|much)\b(?! (as|that)\b)", CODE, "name the number"),
    "L5": Rule(r"\banew\b|\bby custom\b|\bin turns\b", ALL, 'write "again", "by convention", "in turn"'),
    "L6": Rule(r"\b(has|have) not[.,;)]|\bwhich [A-Za-z ]{2,30} has not\b", ALL, 'write "does not have one"'),
    "L7": Rule(r"\b[Hh]ow sure\b|\bh(e|o)lds? the truth\b", ALL, 'write "uncertainty", "contains the true value"'),
    "L8": Rule(r'(?<![\w."/-])[Hh]oles?\b(?!\.csv)', PROSE, 'write "missing values"'),
    "L9": Rule(r"\b[Bb]eside\b", PROSE, 'write "besides", "next to", "compared with"'),
    "L10": Rule(r"[,(:] ?also (where|if|when|of|those|from|without|in|with)\b", ALL, "begin a sentence"),
    "L11": Rule(r"^r?(What|How|Where|As|Of|So|Whose|Which)\b", (SUMMARY,), "begin with a verb or a noun"),
    "L12": Rule(r"\b[Nn]one where\b", CODE, 'write "None if"'),
    "L13": Rule(r"(?<=[.;] )(Where|Of|As (for|with)|So (is|are|do)|Also)\b", ALL, "begin with the subject, If or When"),
    "L14": Rule(r"\bthose (that|of|which|whose)\b", ALL, "repeat the noun"),
    "L15": Rule(r"\banother ([a-z]+ ){1,2}than\b|\ba wrong (shape|number|length)\b", ALL, 'write "different", "the"'),
    "L16": Rule(r"\bsome (hundred|thousand|minutes|months|(milli|micro)?seconds|tenths)\b", ALL, 'write "a few"'),
}
EXCEPTIONS = {
    "tools/check_text.py": "quotes the patterns",
    "CHANGELOG.md": "records what was released",
    "bench/results": "benchmarks write these pages",
    "docs/guide/troubleshooting.md": "quotes messages of other packages",
}


def text_of(name: str) -> Iterator[tuple[int, str, str]]:
    """Yield the line number, the kind and the text of each line of prose in a file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = ["", *text.splitlines()]
    if name.endswith(".md"):
        is_code = False
        for number, line in enumerate(text.splitlines(), 1):
            is_code ^= bool(FENCE.match(line))
            if not is_code:
                yield number, MARKDOWN, re.sub("`[^`]*`", "", line)
    elif name.endswith(".py"):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                is_first = not (lines[token.start[0] - 1].lstrip().startswith("#") and token.line.lstrip()[0] == "#")
                yield token.start[0], FIRST if is_first else COMMENT, token.string
        for node in ast.walk(ast.parse(text)):
            match node:
                case ast.Expr(value=ast.Constant(value=str(docstring))):
                    yield node.lineno, SUMMARY, docstring.split("\n")[0]
                    for number, line in enumerate(docstring.splitlines(), node.lineno):
                        yield number, DOCSTRING, line
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name.endswith(MESSAGE_CALLS):
                    for part in ast.walk(node):
                        if isinstance(part, ast.Constant) and isinstance(part.value, str):
                            yield part.lineno, MESSAGE, part.value
    else:
        for number, line in enumerate(text.splitlines(), 1):
            if (start := line.find("//")) >= 0:
                is_first = line[:start].strip() or not lines[number - 1].lstrip().startswith("//")
                yield number, FIRST if is_first else COMMENT, line[start:]


def files() -> list[str]:
    """List the files whose prose is checked."""
    command = ["git", "ls-files", "*.md", "*.py", "*.cpp", "*.hpp"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in sorted(names) if not name.startswith(tuple(EXCEPTIONS))]


def main() -> int:
    """Print the hits of each rule, as `file:line: text`, with advice; return 1 if there are any."""
    n_hits = 0
    for name in files():
        for number, kind, line in text_of(name):
            for rule, (pattern, kinds, advice) in RULES.items():
                if kind in kinds and re.search(pattern, line):
                    print(f"{name}:{number}: {line.strip()} ({rule}: {advice})")
                    n_hits += 1
    return int(n_hits > 0)


if __name__ == "__main__":
    sys.exit(main())
