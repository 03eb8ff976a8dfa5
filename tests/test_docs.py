"""The documentation is true: the coverage page is current, links lead somewhere, examples run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def python(*arguments, timeout=60, **kwargs):
    """Run Python; its output. The tree's `src` goes first, as what is documented is what stands there."""
    path = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          check=False, env={**os.environ, "PYTHONPATH": path}, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_op_coverage_is_current():
    """Where it is not: python tools/make_coverage.py"""
    python(ROOT / "tools" / "make_coverage.py", "--check")


def test_coverage_page_says_what_is_known():
    page = (ROOT / "docs" / "op_coverage.md").read_text(encoding="utf-8")
    assert "| `add` | ✓ | ✓ | method function | ✓ |" in page or "| `add` | ✓ | ✓ | method | ✓ |" in page
    assert re.search(r"^\| `sin` \| pointwise \| derived \| broadcast \| `numpy.sin` \|", page, re.MULTILINE)
    assert re.search(r"^\| `eq.Tensor` \| pointwise \| none: ", page, re.MULTILINE)
    assert re.search(r"^\| `transpose.int` \| view \| written \| geometry \|", page, re.MULTILINE)


def anchors(page):
    """The names that a page's headings get on the usual hosts."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(found), f"{page.name}: {target}"


def test_guide_runs(tmp_path):
    text = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 8
    script = tmp_path / "guide.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    python(script, cwd=tmp_path)


def test_readme_example_runs(tmp_path):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        assert python("-c", block, cwd=tmp_path)


@pytest.mark.parametrize("script", sorted((ROOT / "examples").glob("*.py")), ids=lambda script: script.name)
def test_examples_have_help(script):
    assert "usage: " + script.name in python(script, "--help")


def test_train_mlp(tmp_path):
    shown = python(ROOT / "examples" / "train_mlp.py", "--epochs", 3, "--save", tmp_path / "mlp.pth")
    assert float(re.search(r"test accuracy ([\d.]+)%", shown)[1]) > 90
    assert (tmp_path / "mlp.pth").stat().st_size > 4 * 64 * 128


def test_custom_function():
    shown = python(ROOT / "examples" / "custom_function.py", "--steps", 200)
    assert "agree with differences" in shown
    slope, intercept = map(float, re.search(r"smooth abs +y = ([\d.]+) x \+ ([\d.]+)", shown).groups())
    assert abs(slope - 2) < 0.05 and abs(intercept - 1) < 0.05


def test_checkpoint_interchange(tmp_path):
    script, path = ROOT / "examples" / "checkpoint_interchange.py", tmp_path / "model.pth"
    python(script, "write", path)
    shown = python(script, "read", path)
    assert "differ by at most 0.0e+00" in shown and "loss of step 4" in shown
