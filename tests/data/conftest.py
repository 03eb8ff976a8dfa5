"""A time limit for every test here: a loader that hangs must fail, not stall the run."""

import os
import signal
import sys

import pytest

LIMIT = 60

# Workers import the datasets of samples.py by this name, also when they are spawned.
sys.path.insert(0, os.path.dirname(__file__))


@pytest.fixture(autouse=True)
def time_limit():
    def expired(signum, frame):
        raise TimeoutError(f"the test took more than {LIMIT} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
