"""Compiling in two threads: code that several ask for, forks and exits meanwhile, what is made ahead of its use."""

import os
import subprocess
import sys
import threading

import pytest

from rushlight.compiler import ahead, available, cache, engine
from rushlight.compiler.codegen.targets import host
from rushlight.runtime import cpu, native

pytestmark = pytest.mark.skipif(not available(), reason="needs llvmlite")
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(cache.__file__)))


def text(number):
    """A module that takes LLVM some milliseconds."""
    steps = "\n".join(f"  %x{i + 1} = mul i64 %x{i}, {2 * i + number * 1000 + 1}\n"
                      f"  %y{i} = icmp ugt i64 %x{i + 1}, {i}\n  br i1 %y{i}, label %b{i}, label %out\nb{i}:"
                      for i in range(150))
    head = f'target triple = "{host().triple}"\ndefine i64 @f(i64 %x0) {{'
    return f"{head}\n{steps}\n  ret i64 %x150\nout:\n  ret i64 {number}\n}}\n"


def program(code, place, check=True):
    # (Python 3.12 and later warn of forks while there are threads.)
    environment = {**os.environ, "RUSHLIGHT_CACHE": str(place), "PYTHONWARNINGS": "ignore"}
    environment["PYTHONPATH"] = os.pathsep.join([SOURCE, environment.get("PYTHONPATH", "")])
    return subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True, check=check,
                          timeout=120)


def in_threads(functions):
    threads = [threading.Thread(target=f) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not any(t.is_alive() for t in threads)


def test_objects_are_the_same_in_two_threads():
    alone = [engine.compile_object(text(i)) for i in range(6)]
    found = {}

    def work(numbers):
        for i in numbers:
            found[i] = engine.compile_object(text(i))
    in_threads([lambda: work((0, 2, 4)), lambda: work((1, 3, 5))])
    assert [found[i] for i in range(6)] == alone


def test_code_that_two_threads_ask_for_is_made_once(monkeypatch):
    monkeypatch.setitem(engine.__dict__, "_pack", lambda pack=cache.Pack(None): pack)
    built, found = [], []

    def build():
        built.append(1)
        return text(77)
    in_threads([lambda: found.append(engine.load("test ahead|77", build, ["f"])["f"])] * 4)
    assert len(built) == 1 and len(set(found)) == 1
    engine.prepare("test ahead|78", lambda: text(78))
    assert engine.load("test ahead|78", lambda: pytest.fail("made again"), ["f"])["f"]


def test_what_fails_can_be_asked_for_again(monkeypatch):
    monkeypatch.setitem(engine.__dict__, "_pack", lambda pack=cache.Pack(None): pack)
    with pytest.raises(RuntimeError, match="parsing"):
        engine.load("test ahead|79", lambda: "nonsense", ["f"])
    assert engine.load("test ahead|79", lambda: text(79), ["f"])["f"]


def test_making_leaves_the_kernel_to_others(monkeypatch):
    monkeypatch.setitem(engine.__dict__, "_pack", lambda pack=cache.Pack(None): pack)
    done = []

    def kernel():
        found = engine.load("test ahead|80", lambda: text(80), ["f"])
        done.append(found["f"])
    with engine.only_making():
        kernel()
    assert not done and engine.known("test ahead|80")
    with engine.only_making():
        kernel()
    assert not done
    kernel()
    assert done


@pytest.mark.skipif(cpu.usable_cores() < 2, reason="needs two cores")
def test_makers_are_shared_by_two_threads():
    by = {}
    both = threading.Barrier(2, timeout=30)

    def maker(i):
        def make():
            by[i] = threading.current_thread()
            if i in (0, 5):         # the first of each thread: neither goes on before the other has begun
                with native.lock.apart():
                    both.wait()
        return make
    ahead.together([maker(i) for i in range(6)])
    with native.lock:
        assert sorted(by) == list(range(6))
    assert by[5] is threading.current_thread() and by[0] is not by[5]


FORKS = """
import os, sys, threading
sys.path.insert(0, {tests!r})
from test_ahead import text
from rushlight.compiler import engine
stop, texts = False, [text(i) for i in range(8)]
def compile_on():
    while not stop:
        engine.compile_object(texts[1])
threads = [threading.Thread(target=compile_on) for _ in range(2)]
for t in threads:
    t.start()
for i in range(8):
    child = os.fork()
    if not child:
        engine.load(f"in a child {i}", lambda: texts[i], ["f"])
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
stop = True
for t in threads:
    t.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_other_threads_compile(tmp_path):
    program(FORKS.replace("{tests!r}", repr(os.path.dirname(__file__))), tmp_path / "cache")


USE = """
import os, sys, rushlight as torch
from rushlight.compiler import ahead, engine
print((torch.ones(3) + torch.tensor([1.0, 2.0, 3.0])).mul_(2).tolist())
if sys.argv[1:] == ["fork"]:
    child = os.fork()
    if not child:
        print((torch.ones(2) / 2).tolist(), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
if sys.argv[1:] == ["wait"]:
    while ahead._thread is not None:
        import time
        time.sleep(0.01)
    print(engine.statistics["compiled"])
"""


def test_first_use_ends_at_once_forks_and_leaves_its_code(tmp_path):
    for arguments in ([], ["fork"]):
        done = program(f"import sys; sys.argv[1:] = {arguments}\n{USE}", tmp_path / "cache")
        assert done.stdout.startswith("[4.0, 6.0, 8.0]\n") and not done.stderr
        assert ("[0.5, 0.5]" in done.stdout) == (arguments == ["fork"])
    program(f"import sys; sys.argv[1:] = ['wait']\n{USE}", tmp_path / "cache")
    done = program(f"import sys; sys.argv[1:] = ['wait']\n{USE}", tmp_path / "cache")
    assert done.stdout.splitlines()[-1] == "0"
