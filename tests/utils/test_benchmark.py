"""Timers, statistics of times, tables, and random tensors for benchmarks."""

import statistics

import pytest

import rushlight as torch
from rushlight.utils import benchmark as b


def measured(times, number=1, **spec):
    return b.Measurement(number, times, b.TaskSpec(spec.pop("stmt", "y"), "pass", **spec))


def test_timers_run_what_they_are_given():
    runs = []
    t = b.Timer("f()", "runs.append('setup')", globals={"f": lambda: runs.append(1), "runs": runs}, num_threads=1)
    m = t.timeit(200)
    assert m.number_per_run == 200 and len(m.times) == 1 and m.median > 0
    assert runs.count(1) == 202 and runs.count("setup") == 2
    told = []
    m = b.Timer("x + 1", globals={"x": torch.ones(3)}).blocked_autorange(lambda n, t: told.append(n), 0.02)
    assert sum(m.raw_times) >= 0.02 and told == [m.number_per_run] * len(m.times)
    m = b.Timer("x + 1", globals={"x": torch.ones(3)}).adaptive_autorange(1e9, min_run_time=0)
    assert len(m.times) == 4
    for arguments in ({"stmt": 3}, {"language": "rust"}, {"global_setup": "int x;"}):
        with pytest.raises(ValueError):
            b.Timer(**arguments)


def test_threads_come_back():
    before = torch.get_num_threads()
    with b.set_torch_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_statistics():
    times = [1e-5, 1.2e-5, 1.1e-5, 1.3e-5, 5e-5]
    m = measured(times, 10, label="lab", sub_label="sub", description="desc", num_threads=2)
    assert m.median == pytest.approx(statistics.median(times) / 10) and m.mean == pytest.approx(1.92e-6)
    assert m.iqr == pytest.approx(2e-7) and m.has_warnings and not m.meets_confidence() and m.meets_confidence(0.2)
    assert repr(m).split("\n", 1)[1] == (
        "lab: sub\ndesc\n  Median: 1.20 us\n  IQR:    0.20 us (1.10 to 1.30)\n"
        "  5 measurements, 10 runs per measurement, 2 threads\n"
        "  WARNING: Interquartile range is 16.7% of the median measurement.\n"
        "           This could indicate system fluctuation.")
    # Stored from PyTorch 2.13.
    assert [measured([v] * 5).significant_figures for v in (1e-7, 2.6e-6, 1e-4, 1e-3, 1)] == [1, 2, 3, 4, 4]
    spread = [1 + 0.05 * (i / 4 - 0.5) for i in range(5)]
    assert measured(spread).significant_figures == 2
    merged = b.Measurement.merge([measured([1.], 2), measured([3.], 2), measured([5.], stmt="z")])
    assert [x.times for x in merged] == [[0.5, 1.5], [5.]]


def test_numbers_and_units():
    assert b.select_unit(1e-5) == ("us", 1e-6) and b.select_unit(0.5) == ("ms", 1e-3) and b.select_unit(100)[0] == "s"
    assert b.trim_sigfig(123.456, 2) == 120 and b.unit_to_english("us") == "microsecond"
    assert b.ordered_unique([2, 1, 2]) == [2, 1]


def test_tables():
    rows = [measured([1.2e-6] * 5, label="lab", sub_label="sub", description="desc", num_threads=2),
            measured([3.01e-5] * 5, label="lab", sub_label="sub", description="other", num_threads=2),
            measured([1.1e-5] * 5, label="lab", sub_label="s2", description="desc", num_threads=2),
            measured([1.1e-5] * 5, label="lab", sub_label="s2", description="desc", num_threads=1)]
    table = b.Compare(rows)
    assert str(table) == ("[---------- lab -----------]\n"
                          "           |  desc  |  other\n"
                          "1 threads: -----------------\n"
                          "      s2   |  11.0  |       \n"
                          "2 threads: -----------------\n"
                          "      sub  |   1.2  |   30.1\n"
                          "      s2   |  11.0  |       \n"
                          "\nTimes are in microseconds (us).\n")
    table.colorize()
    assert "\033[92m\033[1m 1.2\033[0m" in str(table) and "\033[31m\033[1m11.0\033[0m" in str(table)
    noisy = b.Compare([measured([1., 1.3, 1.5, 1.7, 2.], description="a")])
    noisy.highlight_warnings()
    assert "1.5 (! 27%)" in str(noisy)
    with pytest.raises(ValueError, match="Measurement"):
        b.Compare([1])


def test_fuzzers_repeat_and_obey():
    def fuzzer():
        return b.Fuzzer([b.FuzzedParameter("n", 4, 64, "loguniform"), b.FuzzedParameter("k", 1, 3, "uniform"),
                         [b.FuzzedParameter("m", distribution={b.ParameterAlias("n"): 0.5, 1: 0.5})]],
                        [b.FuzzedTensor("x", ("n", "k", "m"), steps=(1, 2, 1), min_elements=8, max_elements=500)],
                        [lambda n, **_: n % 2 == 0], seed=0)
    first, second = list(fuzzer().take(5)), list(fuzzer().take(5))
    for (tensors, facts, params), (again, _, same) in zip(first, second):
        x = tensors["x"]
        assert params == same and torch.equal(x, again["x"])
        assert x.shape == (params["n"], params["k"], params["m"]) and params["n"] % 2 == 0
        assert params["m"] in (1, params["n"]) and 8 <= x.numel() <= 500 and facts["x"]["numel"] == x.numel()
    with pytest.raises(ValueError, match="Failed"):
        list(b.Fuzzer([b.FuzzedParameter("n", 1, 2, "uniform")], [], [lambda n: False], 0).take(1))
    for arguments in ({"distribution": "no"}, {"minval": 3, "maxval": 1, "distribution": "uniform"},
                      {"distribution": {1: 0.5}, "strict": True}):
        with pytest.raises(ValueError):
            b.FuzzedParameter("a", **arguments)
    sparse = b.FuzzedSparseTensor("s", ("n", 5), sparse_dim="d", density="p")
    made = next(b.Fuzzer([b.FuzzedParameter("n", 4, 8, "uniform"), b.FuzzedParameter("d", 2, 2, "uniform"),
                          b.FuzzedParameter("p", 0.1, 0.5, "uniform")], [sparse], seed=1).take(1))[0]["s"]
    assert made.is_sparse and made.sparse_dim() == 2 and made.shape[1] == 5
