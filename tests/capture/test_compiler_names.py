"""``torch.compiler``: machine code as bytes, functions in C that are declared pure."""

import os
import subprocess
import sys
import warnings
from heapq import heapreplace

import pytest

import rushlight as torch

PROGRAM = """
import sys, rushlight as torch
from rushlight.compiler import engine
if len(sys.argv) > 1:
    info = torch.compiler.load_cache_artifacts(open(sys.argv[1], "rb").read())
    print(len(info.artifacts["kernel"]))
x = torch.arange(12.0).reshape(3, 4)
assert torch.allclose((x.softmax(-1) * 2).sum(-1), torch.full((3,), 2.0))
print(engine.statistics["compiled"])
if len(sys.argv) == 1:
    data, info = torch.compiler.save_cache_artifacts()
    assert not info.empty()
    open("artifacts", "wb").write(data)
"""


def test_code_moves_to_another_cache(tmp_path):
    def run(cache, *args):
        env = {**os.environ, "RUSHLIGHT_CACHE": str(tmp_path / cache)}
        out = subprocess.run([sys.executable, "-c", PROGRAM, *args], env=env, cwd=tmp_path, capture_output=True,
                             text=True, timeout=120)
        assert out.returncode == 0, out.stderr
        return [int(x) for x in out.stdout.split()]
    made, = run("first")
    kernels, made_again = run("second", "artifacts")
    assert made > 0 and kernels >= made and made_again == 0


def test_damaged_code_is_left_alone():
    torch.ones(3).sin()
    data, _ = torch.compiler.save_cache_artifacts()
    for bad in (b"", data[:-1], data[:30] + b"x" + data[31:], b"RLKA" + bytes(12) + data[16:]):
        with pytest.warns(UserWarning, match="nothing was loaded"):
            assert torch.compiler.load_cache_artifacts(bad) is None


def test_functions_that_are_declared_pure():
    def f(x):
        return x * 2 + heapreplace([1, 2], 4)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = torch.compile(f)
        for _ in range(4):
            assert before(torch.ones(1)).item() == 3
    assert not before.entries and "heap" in next(iter(before.refusals.values()))

    @torch.compiler.substitute_in_graph(heapreplace, skip_signature_check=True)
    def same(heap, item):
        first, heap[0] = heap[0], item
        return first
    after = torch.compile(f)
    for _ in range(4):
        assert after(torch.ones(1)).item() == 3
    assert after.entries, after.refusals
    with pytest.raises(TypeError, match="expects a function"):
        torch.compiler.substitute_in_graph(3)
    with pytest.raises(TypeError, match="Signature mismatch"):
        torch.compiler.substitute_in_graph(lambda a: a)(lambda b: b)


def test_names_are_those_of_pytorch():
    for name in ("compile", "config", "assume_constant_result", "reset", "allow_in_graph", "substitute_in_graph",
                 "list_backends", "disable", "set_default_backend", "get_default_backend", "set_stance",
                 "set_enable_guard_collectives", "cudagraph_mark_step_begin", "load_compiled_function", "wrap_numpy",
                 "is_compiling", "is_dynamo_compiling", "is_exporting", "save_cache_artifacts", "load_cache_artifacts",
                 "keep_portable_guards_unsafe", "skip_guard_on_inbuilt_nn_modules_unsafe",
                 "skip_guard_on_all_nn_modules_unsafe", "keep_tensor_guards_unsafe", "skip_guard_on_globals_unsafe",
                 "skip_all_guards_unsafe", "nested_compile_region"):
        assert getattr(torch.compiler, name) is not None and name in dir(torch.compiler)


def test_arguments_of_compile():
    def f(x):
        return x + 1
    for bad, error, text in [({"mode": "fast"}, RuntimeError, "Unrecognized mode=fast, should be one of: default"),
                             ({"mode": "default", "options": {}}, RuntimeError, "Either mode or options"),
                             ({"options": {"max_autotune": "a"}}, RuntimeError, "Unexpected type of attr max_autotune"),
                             ({"options": [1]}, TypeError, "must be a dict"),
                             ({"backend": "zzz"}, RuntimeError, "Invalid backend: 'zzz'"),
                             ({"backend": 3}, TypeError, "string or callable"),
                             ({"backend": lambda graph, x: graph}, NotImplementedError, "function of graphs"),
                             ({"dynamic": "x"}, AssertionError, "dynamic")]:
        with pytest.raises(error, match=text):
            torch.compile(f, **bad)
    with pytest.raises(AssertionError, match="A callable function is expected, but <class 'int'>"):
        torch.compile(3)
    with pytest.warns(UserWarning, match="'freezing' changes nothing"):
        torch.compile(f, options={"freezing": True})
    assert torch.compile(torch.nn.Linear) is torch.nn.Linear
    for mode in ("default", "lite", "reduce-overhead", "max-autotune"):
        g = torch.compile(f, mode=mode, dynamic=False)
        for _ in range(3):
            assert g(torch.ones(1)).item() == 2
        assert g.entries
    eager, whole = torch.compile(f, backend="eager"), torch.compile(f, backend="aot_eager", fullgraph=True)
    for _ in range(3):
        assert eager(torch.ones(1)).item() == whole(torch.ones(1)).item() == 2
    assert not eager.entries and whole.entries


def test_default_backend():
    assert torch.compiler.get_default_backend() == "inductor"
    assert {"inductor", "rushlight"} <= set(torch.compiler.list_backends())
    assert "eager" in torch.compiler.list_backends(None) and "eager" not in torch.compiler.list_backends()
    try:
        torch.compiler.set_default_backend("eager")
        torch.compiler.reset()
        assert torch.compiler.get_default_backend() == "eager"
        f = torch.compile(torch.sin)
        assert f.disable
        torch.compiler.set_default_backend("zzz")
        with pytest.raises(RuntimeError, match="Invalid backend"):
            torch.compile(torch.sin)
        with pytest.raises(TypeError, match="string or callable"):
            torch.compiler.set_default_backend(3)
    finally:
        torch.compiler.set_default_backend(None)
    assert not torch.compile(torch.sin).disable


@pytest.mark.filterwarnings("ignore:compile")
def test_config():
    config = torch.compiler.config
    assert config.recompile_limit == 8 and config.to_dict()["cache_key_tag"] == ""
    with pytest.raises(AttributeError, match="config.zzz does not exist"):
        config.zzz = 1
    with pytest.raises(AttributeError, match="config.zzz does not exist"):
        config.patch(zzz=1).__enter__()
    n = 0

    def f(x):
        return x * n

    def calls():
        nonlocal n
        for n in range(5):
            for _ in range(3):
                assert g(torch.ones(1)).item() == n
    with config.patch(recompile_limit=2):
        g = torch.compile(f)
        calls()
        assert "2 programs were made" in next(iter(g.refusals.values()))
        with config.patch({"fail_on_recompile_limit_hit": True}):
            g = torch.compile(f)
            with pytest.raises(RuntimeError, match="2 programs were made"):
                calls()
    assert config.recompile_limit == 8
    g = torch.compile(f)
    calls()
    assert not g.refusals and len(next(iter(g.entries.values()))) == 5

    @config.patch("automatic_dynamic_shapes", False)
    def numbers():
        g = torch.compile(lambda x, k: x * k)
        for k in range(1, 4):
            for _ in range(3):
                assert g(torch.ones(1), k).item() == k
        return len(g.entries)
    assert numbers() == 3


def test_whether_a_call_is_compiled():
    seen = []

    def f(x):
        if torch.compiler.is_compiling() and torch.compiler.is_dynamo_compiling():
            return x + 1
        seen.append(1)
        return x - 1
    g = torch.compile(f)
    for _ in range(4):
        assert g(torch.ones(1)).item() == 2
    assert not seen and f(torch.ones(1)).item() == 0 and not torch.compiler.is_exporting()


def test_guards_that_are_left_out():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.5))
    scale = [3.0]

    def f(x):
        return model(x) * scale[0]
    x, c = torch.ones(1, 2), torch.compiler
    found = {}
    for name in (None, "skip_all_guards_unsafe", "skip_guard_on_inbuilt_nn_modules_unsafe",
                 "skip_guard_on_all_nn_modules_unsafe", "skip_guard_on_globals_unsafe", "keep_tensor_guards_unsafe",
                 "keep_portable_guards_unsafe"):
        model.eval()
        scale[0] = 3.0
        g = torch.compile(f, options=name and {"guard_filter_fn": getattr(c, name)})
        for _ in range(3):
            want = g(x)
        model.train()
        ignores_modules = all(torch.equal(g(x), want) for _ in range(8))
        model.eval()
        scale[0] = 6.0
        found[name] = ignores_modules, torch.equal(g(x), want)
    assert found == {
        None: (False, False), "skip_all_guards_unsafe": (True, True),
        "skip_guard_on_inbuilt_nn_modules_unsafe": (True, False), "skip_guard_on_all_nn_modules_unsafe": (True, False),
        "skip_guard_on_globals_unsafe": (False, False), "keep_tensor_guards_unsafe": (True, True),
        "keep_portable_guards_unsafe": (True, True)}
    with pytest.raises(RuntimeError, match="one answer for each"):
        g = torch.compile(f, options={"guard_filter_fn": lambda guards: []})
        g(x)
        g(x)


def test_results_that_are_assumed_constant(tmp_path):
    calls = []

    @torch.compiler.assume_constant_result
    def scale():
        calls.append(len(os.listdir(tmp_path)))
        return 2.0 + len(calls)
    g = torch.compile(lambda x: x * scale())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = [g(torch.ones(1)).item() for _ in range(6)]
    assert found[2:] == [found[1]] * 4 and g.entries
    assert scale() != scale() and scale.__name__ == "scale"
    with pytest.raises(AttributeError):
        torch.compiler.assume_constant_result(3)


@pytest.mark.filterwarnings("ignore:compile")
def test_functions_of_numpy():
    f = torch.compiler.wrap_numpy(lambda a, b: (a @ b, [(a * a).sum()]))
    x = torch.arange(6.0).reshape(2, 3)
    for call in (f, torch.compile(f)):
        for _ in range(4):
            y, (s,) = call(x, x.t())
            assert torch.equal(y, x @ x.t()) and torch.equal(s, x.square().sum()) and s.dtype == torch.float32
    with pytest.raises(NotImplementedError, match="no gradients"):
        f(x.requires_grad_(), x)


@pytest.mark.filterwarnings("ignore:compile")
def test_what_is_disabled():
    class Twice:
        def __init__(self, n):
            self.n = n

        def __call__(self, x):
            return x * self.n
    with pytest.raises(AssertionError, match="must be callable"):
        torch.compiler.disable(3)
    assert torch.compiler.disable(Twice) is Twice and Twice(3)(torch.ones(1)).item() == 3
    m = torch.compiler.disable(torch.nn.Linear(2, 2))
    assert isinstance(m, torch.nn.Module) and len(list(m.parameters())) == 2

    @torch.compiler.disable(reason="it is slow")
    def slow(x):
        return x + 1
    f, g = torch.compile(lambda x: slow(x) * 2), torch.compile(lambda x: m(x) * 2)
    for _ in range(4):
        assert f(torch.ones(1)).item() == 4
        assert torch.equal(g(torch.ones(2)), m._orig_mod(torch.ones(2)) * 2)
    assert not f.entries and "slow is disabled: it is slow" in next(iter(f.refusals.values()))
    assert not g.entries and "Linear is disabled" in next(iter(g.refusals.values()))
    with pytest.raises(RuntimeError, match="slow is disabled"):
        h = torch.compile(lambda x: slow(x), fullgraph=True)
        h(torch.ones(1))
        h(torch.ones(1))


@pytest.mark.filterwarnings("ignore:compile")
def test_stances():
    f = torch.compile(lambda x: x + 1)
    with pytest.raises(RuntimeError, match="non-default stance cannot have force_backend"):
        torch.compiler.set_stance("force_eager", force_backend="eager")
    with torch.compiler.set_stance("default", force_backend="eager"):
        for _ in range(3):
            f(torch.ones(1))
    assert not f.entries
    with torch.compiler.set_stance("eager_then_compile"):
        for _ in range(3):
            f(torch.ones(1))
    assert f.entries
    assert not torch.compiler.set_enable_guard_collectives(True)
    assert torch.compiler.set_enable_guard_collectives(False)

    def inside(x):
        with torch.compiler.set_stance("force_eager"):
            return f(x)
    g = torch.compile(inside)
    for _ in range(4):
        assert g(torch.ones(1)).item() == 2
    assert not g.entries
    with pytest.raises(NotImplementedError, match="can't be saved"):
        torch.compiler.load_compiled_function(None)
