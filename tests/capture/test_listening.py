"""What is heard of calls: of users' code all of it, of ours nothing, of other threads nothing."""

import functools
import sys
import threading
import time
from os import getpid

import pytest

import rushlight as torch
from rushlight.capture import listening

HOME = torch.__file__[:-len("__init__.py")]


def heard(f, calls=False):
    told = []
    outer = listening.begin(lambda frame, name, arg: told.append((frame.f_code.co_name, name, getattr(
        arg, "__name__", None))), HOME, calls)
    try:
        f()
    finally:
        listening.end(outer)
    time.time()
    return [x for x in told if x[0] != "heard"]


def asks():
    return time.time(), "a".upper()


EVENTS = [("asks", "call", None), ("asks", "c_call", "time"), ("asks", "c_return", "time"), ("asks", "c_call", "upper"),
          ("asks", "c_return", "upper")]


def test_users_code_tells_what_it_calls():
    asks()
    assert heard(asks) == EVENTS
    assert heard(asks) == EVENTS
    assert sys.getprofile() is None


def test_nobody_listens_meanwhile():
    def part():
        outer = listening.hush()
        asks()
        listening.end(outer)
        asks()
    assert [x for x in heard(part) if x[0] == "asks"] == EVENTS
    listening.end(listening.hush())
    assert sys.getprofile() is None


def test_our_code_tells_nothing_but_calls():
    x = torch.ones(2, 3)
    x.squeeze(0).tolist()
    names = {name for name, *_ in heard(lambda: x.squeeze(0).tolist())}
    assert names <= {"<lambda>"}
    assert ("tolist", "call", None) in heard(lambda: x.tolist(), calls=True)


def test_other_threads_are_not_heard():
    thread = threading.Thread(target=asks)
    assert not [x for x in heard(lambda: (thread.start(), thread.join())) if x[0] == "asks"]
    assert heard(asks) == EVENTS


def test_a_generator_that_began_before():
    def numbers():
        yield 1
        yield time.time()
    g = numbers()
    next(g)
    assert ("numbers", "c_call", "time") in heard(lambda: next(g))


def test_profilers_of_others_go_on():
    told = []

    def profile(frame, event, arg):
        told.append((frame.f_code.co_name, event))
    sys.setprofile(profile)
    try:
        assert heard(asks) == EVENTS
        asks()
        assert sys.getprofile() is profile
    finally:
        sys.setprofile(None)
    assert ("asks", "call") in told


def test_a_function_within_a_library_is_heard():
    @functools.singledispatch
    def kind(x):
        return 1

    @kind.register
    def _(x: torch.Tensor):
        return 3 + 0 * getpid()

    def step(x):
        return x * kind(x)

    f = torch.compile(step)
    x = torch.ones(2)
    with pytest.warns(UserWarning, match="getpid is called"):
        for _ in range(3):
            assert f(x).tolist() == [3.0, 3.0]
