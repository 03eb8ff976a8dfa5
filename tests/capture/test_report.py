"""What programs look like to people: explanations, printed code, pages."""

import re
import time
import xml.etree.ElementTree as ElementTree

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F


def training():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    opt = torch.optim.Adam(model.parameters())

    @torch.compile
    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(model(x) * 2 + 1, y)
        loss.backward()
        opt.step()
        return loss.item()
    return step, (torch.randn(5, 6), torch.randint(0, 3, (5,)))


def test_explanation_of_a_step():
    step, batch = training()
    found = torch.compiler.explain(step, *batch)
    text = repr(found)
    assert re.match(r"step: one program of \d+ kernels, where the call ran \d+; [\d,]+ bytes", text)
    assert sum(found.run_kernels.values()) < sum(found.kernels.values())
    assert found.kernels["linear"] == 2 and "Adam.step" in found.kernels and found.fused
    assert "made0[5, 8] = linear(argument0[5, 6], older0[8, 6], older1[8])" in text
    assert found.arena_bytes > 0 and found.seconds > 0 and not found.reasons


def test_explanation_of_a_break(capsys):
    m = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

    def f(x):
        h = m(x)
        time.sleep(0)
        return h * 2
    g = torch.compile(f)
    with pytest.warns(UserWarning, match="sleep is called at"):
        for _ in range(6):
            g(torch.ones(2, 3))
    text = repr(torch.compiler.explain(g, torch.ones(2, 3)))
    assert text.startswith("f runs eagerly: sleep is called at ") and f"{__file__}:" in text
    assert re.search(r"Sequential: one program of \d+ kernels", text)


@pytest.mark.parametrize("what, found", [
    ("graph", r"made0\[5, 8\] = linear\("), ("loops", r"for i < 5, j < 8:    # tanh\n.*\n    %0 = "),
    ("words", r"step: \d+ words: \d+ constants, 2 arguments.*\nv0 = ARRAY a0\nv1 = ARRAY a1\n(.*\n)*"
              r"(v\d+) = NEW float32 \[8\]\nMETHOD sum\(\2, w\d+, 1\)\n(.*\n)*RETURN v"),
    ("llvm", r"; step: tanh\ntarget triple = .*\ndefine void @inner"), ("asm", r"# step: tanh\n"),
    ("graph,loops", r"(?s)the program.*step: loops")])
def test_printed_programs(what, found, monkeypatch, capsys):
    pytest.importorskip("llvmlite")
    monkeypatch.setenv("RUSHLIGHT_SHOW", what)
    f, x = torch.compile(_step), torch.randn(5, 6)
    for _ in range(3):
        f(x, W)
    assert re.search(found, capsys.readouterr().err.replace("_step", "step"))
    monkeypatch.setenv("RUSHLIGHT_SHOW", "pictures")
    with pytest.raises(ValueError, match="none of graph, loops, words, llvm, asm"):
        g = torch.compile(_step)
        for _ in range(3):
            g(x, W)


W = torch.ones(8, 6)


def _step(x, w):
    return F.linear(x, w).tanh().sum(0)


def test_pages(tmp_path):
    step, batch = training()
    found = torch.compiler.report(step, *batch, path=tmp_path / "step.html", repeat=2)
    text = (tmp_path / "step.html").read_text()
    assert found.run_kernels and "where the time goes" in text
    assert not re.search(r'(src|href)="', text)                 # nothing from outside
    pictures = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.S)]
    space = "{http://www.w3.org/2000/svg}"
    graph, arena = pictures
    assert len(graph.findall(f"{space}g")) == sum(found.run_kernels.values())
    assert len(graph.findall(f"{space}path")) >= len(graph.findall(f"{space}g")) - 1
    width, height = float(graph.get("width")), float(graph.get("height"))
    boxes = [[float(g.find(f"{space}rect").get(k)) for k in ("x", "y", "width", "height")]
             for g in graph.findall(f"{space}g")]
    assert all(0 <= x and x + w <= width and 0 <= y and y + h <= height for x, y, w, h in boxes)
    # No two kernels in one place; no two pieces of memory that are in use at the same time.
    assert len({(x, y) for x, y, _, _ in boxes}) == len(boxes)
    spans = [(a[1], a[1] + a[2], a[3], a[4]) for a in step.entries[next(iter(step.entries))][0].run.map]
    for i, (begin, end, first, last) in enumerate(spans):
        for b, e, f, t in spans[:i]:
            assert end <= b or e <= begin or last < f or t < first
    assert arena.findall(f"{space}g")


def test_pages_of_eager_calls_and_of_modules(tmp_path):
    m = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2))
    torch.compiler.report(torch.compile(m), torch.randn(2, 3), path=tmp_path / "m.html", repeat=2)
    text = (tmp_path / "m.html").read_text()
    assert "Backward program" in text and text.count("<svg") == 4 or "nothing stays inside" in text

    def f(x):
        time.sleep(0)
        return x
    torch.compiler.report(f, torch.ones(1), path=tmp_path / "f.html")
    assert "sleep is called at" in (tmp_path / "f.html").read_text()


def test_stances():
    f = torch.compile(lambda x: x * 2)
    x = torch.ones(2)
    for _ in range(3):
        f(x)
    assert len(f.entries) == 1
    with torch.compiler.set_stance("force_eager"):
        assert f(x).tolist() == [2, 2] and not f.quick
        assert f(torch.ones(3)).tolist() == [2, 2, 2]
    assert f(x).tolist() == [2, 2] and f.quick and len(f.entries) == 1
    with torch.compiler.set_stance("fail_on_recompile"):
        f(x)
        with pytest.raises(RuntimeError, match="argument 0 has size 3 along axis 0, had 2"):
            f(torch.ones(3))

    @torch.compiler.set_stance("eager_on_recompile")
    def several():
        for _ in range(4):
            f(torch.ones(3))
    several()
    assert len(f.entries) == 1
    for _ in range(4):
        f(torch.ones(3))
    assert len(f.entries) == 2
    with pytest.raises(RuntimeError, match="stance"):
        torch.compiler.set_stance("sideways")


def test_words_of_calls_at_the_same_time(monkeypatch, capsys):
    pytest.importorskip("llvmlite")
    monkeypatch.setenv("RUSHLIGHT_SHOW", "words")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        f = torch.compile(lambda x, y: ((x @ W6).relu().sum(0), (y @ W6.t()).exp().sum(1)))
        for _ in range(3):
            f(torch.ones(32, 64), torch.ones(32, 64))
    finally:
        torch.set_num_threads(before)
    assert re.search(r"TOGETHER 2\n    METHOD mm\(w\d+, v0, w\d+\)\n    METHOD mm\(", capsys.readouterr().err)


W6 = torch.ones(64, 64)
