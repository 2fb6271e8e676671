"""A persistent child process, which serves many tests unless a test ends the process."""

import contextlib
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path

import pytest

CHILD = Path(__file__).with_name("child.py")
PATIENCE = 300  # seconds for one answer, on a busy machine


class Child:
    """A child process that runs functions of child.py; the next call replaces it if it has died or hangs."""

    def __init__(self):
        self.process = None

    def __call__(self, function, **arguments):
        if self.process is None or self.process.poll() is not None:
            self._start()
        try:
            self.process.stdin.write(json.dumps([function, arguments]) + "\n")
            self.process.stdin.flush()
            answer = self.answers.get(timeout=PATIENCE)
        except queue.Empty:
            self.end()
            pytest.fail(f"no answer within {PATIENCE} s")
        if not answer:
            self.process.wait()
            pytest.fail(f"the process ended with code {self.process.returncode}")
        return json.loads(answer)

    def _start(self):
        self.end()
        self.process = subprocess.Popen(
            [sys.executable, CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.answers = queue.Queue()
        threading.Thread(target=self._read, args=(self.process.stdout, self.answers), daemon=True).start()

    @staticmethod
    def _read(stream, answers):
        with stream:
            for line in stream:
                answers.put(line)
        answers.put("")

    def end(self):
        if self.process is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
            self.process.kill()
            self.process.wait()
            self.process = None


def run_child():
    """Call a function of child.py in the child, by name and with JSON arguments, and return its answer."""
    caller = Child()
    yield caller
    caller.end()


@pytest.fixture(scope="session")
def child():
    yield from run_child()


@pytest.fixture(scope="session")
def forking_child():
    """Run a child that only makes forks, so that its memory is new."""
    yield from run_child()
