"""The rushlight command: the demo, its prediction, info, and failures."""

import html.parser
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys

import pytest

import rushlight as torch

HIDE_MATPLOTLIB = """
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "matplotlib" else find(name, *a)
from rushlight.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def rushlight(*arguments, timeout=120, code=None, env=None, **kwargs):
    start = ["-m", "rushlight"] if code is None else ["-c", code]
    return subprocess.run([sys.executable, *start, *map(str, arguments)], capture_output=True,
                          text=True, timeout=timeout, check=False,
                          env={**os.environ, "NO_COLOR": "1", **(env or {})}, **kwargs)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "out"
    return out, rushlight("demo", "--out", out)


def test_demo_learns_and_reports(trained):
    out, done = trained
    assert done.returncode == 0, done.stderr
    accuracy = float(re.search(r"test accuracy (\d+\.\d+) %", done.stdout)[1])
    assert accuracy >= 98.0
    assert "1259 training, 179 validation and 359 test images" in done.stdout
    assert len(re.findall(r"^epoch +\d+/10", done.stdout, re.MULTILINE)) >= 5
    rows = re.findall(r"^ +(\d) +[\d.]+ +[\d.]+ +[\d.]+ +(\d+)$", done.stdout, re.MULTILINE)
    assert [row[0] for row in rows] == list("0123456789") and sum(int(row[1]) for row in rows) == 359


def test_demo_writes_a_checkpoint(trained):
    out, _ = trained
    facts = torch.load(out / "digits.pth")
    assert facts["accuracy"] >= 0.98 and facts["model"]["classifier.2.weight"].shape == (10, 128)
    assert sum(bool(row.get("best")) for row in facts["history"]) == 1


def test_demo_draws_where_matplotlib_is(trained):
    pytest.importorskip("matplotlib")
    out, _ = trained
    for name in ("learning-curve.png", "confusion-matrix.png"):
        data = (out / name).read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", data[16:24])
        assert width > 600 and height > 400


class Page(html.parser.HTMLParser):
    VOID = {"meta", "img", "br", "link"}

    def __init__(self):
        super().__init__()
        self.open, self.sources, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        if tag not in self.VOID:
            self.open.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_demo_writes_a_page_that_stands_alone(trained):
    out, _ = trained
    page = Page()
    page.feed((out / "index.html").read_text())
    assert page.open == []
    assert all(s.startswith(("data:image/png;base64,", "https://")) for s in page.sources)
    assert "precision" in page.text and "CC BY 4.0" in page.text


def test_demo_without_matplotlib_says_which_extra(tmp_path):
    done = rushlight("demo", "--epochs", 1, "--out", tmp_path, code=HIDE_MATPLOTLIB)
    assert done.returncode == 0, done.stderr
    assert "pip install 'rushlight[plots]'" in done.stdout
    assert sorted(os.listdir(tmp_path)) == ["digits.pth", "index.html"]
    assert "rushlight[plots]" in (tmp_path / "index.html").read_text()


def test_equal_seeds_give_equal_models(tmp_path):
    lines = []
    for _ in range(2):
        done = rushlight("demo", "--epochs", 1, "--seed", 7, "--out", tmp_path)
        lines.append(re.search(r"loss \S+  validation \S+", done.stdout)[0])
    assert lines[0] == lines[1]


def test_predict_shows_digits(trained):
    out, _ = trained
    done = rushlight("demo", "--predict", 3, "--out", out, env={"COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert sum("@" in line or "#" in line for line in lines) >= 6
    assert len(re.findall(r"\d \(\d+\.\d %\)", done.stdout)) == 3
    assert re.search(r"[0-3] of 3 right; on all 359 test images", done.stdout)


def test_predict_without_a_model(tmp_path):
    done = rushlight("demo", "--predict", "--out", tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert "run `rushlight demo` first" in done.stderr and "Traceback" not in done.stderr


def test_predict_with_a_broken_model(tmp_path):
    (tmp_path / "digits.pth").write_bytes(b"PK\x03\x04 nonsense")
    done = rushlight("demo", "--predict", "--out", tmp_path)
    assert done.returncode == 1 and "is not a checkpoint of this demo" in done.stderr
    torch.save({"width": 16, "model": {}}, tmp_path / "digits.pth")
    done = rushlight("demo", "--predict", "--out", tmp_path)
    assert done.returncode == 1 and "is not a checkpoint of this demo" in done.stderr


def test_out_must_be_a_directory(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    done = rushlight("demo", "--out", file)
    assert done.returncode == 1 and "can't make the directory" in done.stderr


@pytest.mark.parametrize("arguments, message", [
    (["demo", "--epochs", "0"], "'0' is not a positive whole number"),
    (["demo", "--lr", "nan"], "'nan' is not a positive finite number"),
    (["demo", "--lr", "-1"], "is not a positive finite number"),
    (["demo", "--seed", "x"], "'x' is not a whole number"),
    (["demo", "--seed", str(2**64)], "does not fit in 64 bits"),
    (["demo", "--predict", "none"], "is not a positive whole number"), (["fly"], "invalid choice")])
def test_wrong_arguments(arguments, message):
    done = rushlight(*arguments)
    assert done.returncode == 2 and message in done.stderr


def test_info():
    done = rushlight("info")
    assert done.returncode == 0 and torch.__version__ in done.stdout
    for name in ("processor", "features", "threads", "cache", "numpy"):
        assert re.search(rf"^{name} +\S", done.stdout, re.MULTILINE)


def test_help_loads_little():
    code = ("import sys\nfrom rushlight.cli.main import build_parser\n"
            "assert 'demo' in build_parser().format_help()\n"
            "print([m for m in ('llvmlite', 'scipy', 'rich', 'matplotlib', 'multiprocessing') "
            "if m in sys.modules])")
    assert rushlight(code=code).stdout.strip() == "[]"


def test_interrupt_ends_with_130(tmp_path):
    process = subprocess.Popen([sys.executable, "-m", "rushlight", "demo", "--epochs", "500",
                                "--patience", "500", "--out", str(tmp_path)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not process.stdout.readline().startswith("epoch"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted" in errors and "Traceback" not in errors
    assert not list(pathlib.Path(tmp_path).iterdir())


def test_reader_that_leaves():
    process = subprocess.Popen([sys.executable, "-u", "-m", "rushlight", "info"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    errors = process.stderr.read()
    assert process.wait(timeout=30) in (0, 1) and "Traceback" not in errors
