"""The profiler: events, sums, tables, files, schedules; without it nothing changes."""

import gzip
import json
import time

import numpy as np
import pytest

import rushlight as torch
import rushlight.nn as nn
import rushlight.nn.functional as F
from rushlight.autograd import profiler as autograd_profiler
from rushlight.profiler import (
    ExecutionTraceObserver,
    ProfilerAction,
    ProfilerActivity,
    profile,
    record_function,
    schedule,
    supported_activities,
    tensorboard_trace_handler,
)


def names(prof):
    return [e.name for e in prof.events()]


def event(prof, name):
    return next(e for e in prof.events() if e.name == name)


def test_ops_are_events_with_shapes():
    x, w = torch.randn(4, 3), torch.randn(5, 3)
    for _ in range(3):              # generated functions serve the calls before, and leave them to Python now
        torch.add(x, x)
        F.linear(x, w)
    with profile(record_shapes=True) as prof:
        torch.add(x, x)
        x * 2
        x.relu()
        F.linear(x, w)
        torch.cat([x, x])
        x.add_(1)
        x[0]
        x.float()
    top = [e.name for e in prof.events() if e.cpu_parent is None]
    assert top == ["aten::add", "aten::mul", "aten::relu", "aten::linear", "aten::cat", "aten::add_", "aten::select",
                   "aten::to"]
    assert event(prof, "aten::add").input_shapes[:2] == [[4, 3], [4, 3]]
    assert event(prof, "aten::linear").input_shapes == [[4, 3], [5, 3], []]
    assert event(prof, "aten::linear").cpu_children[0].name == "aten::mm"


def test_results_are_those_without_a_profiler():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
    x = torch.randn(4, 6)
    net(x).square().sum().backward()
    plain = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    with profile(record_shapes=True, profile_memory=True, with_stack=True, with_flops=True):
        y = net(x)
        y.square().sum().backward()
    for p, g in zip(net.parameters(), plain):
        assert np.array_equal(p.grad.numpy(), g.numpy())
    assert torch.autograd.modes.state.recorder is None
    assert torch.autograd.modes.state.special == 0


def test_tensors_without_sizes_or_strides():
    nested = torch.nested.nested_tensor([torch.ones(2, 3), torch.ones(4, 3)])
    sparse = torch.eye(3).to_sparse()
    with profile(record_shapes=True, profile_memory=True, with_flops=True) as prof:
        nested * 2
        sparse @ torch.ones(3, 2)
        torch.empty(2, 2, device="meta") @ torch.empty(2, 2, device="meta")
        torch.vmap(torch.sin)(torch.ones(2, 3))
        with pytest.raises(RuntimeError):
            torch.ones(2) + torch.ones(3)
        torch.ones(2).exp()
    assert event(prof, "aten::mul").input_shapes[0] == [] and event(prof, "aten::sin").input_shapes[0] == [3]
    assert event(prof, "aten::exp").cpu_parent is None


def test_backward_nodes_are_events():
    x = torch.randn(3, requires_grad=True)
    with profile() as prof:
        (x * x).sum().backward()
    found = names(prof)
    assert "autograd::engine::evaluate_function: MulBackward0" in found
    assert found.count("SumBackward0") == found.count("MulBackward0") == 1
    assert found.count("torch::autograd::AccumulateGrad") == 1
    node = event(prof, "MulBackward0")
    assert node.cpu_parent.name == "autograd::engine::evaluate_function: MulBackward0" and node.scope == 1
    assert node.sequence_nr == event(prof, "aten::mul").sequence_nr >= 0


def test_times_are_nested_and_add_up():
    with profile() as prof:
        with record_function("outer"):
            time.sleep(0.01)
            with record_function("inner"):
                time.sleep(0.02)
    outer, inner = event(prof, "outer"), event(prof, "inner")
    assert inner.cpu_parent is outer and outer.cpu_children == [inner]
    assert outer.cpu_time_total >= 29_000 and inner.cpu_time_total >= 19_000
    assert outer.self_cpu_time_total == pytest.approx(outer.cpu_time_total - inner.cpu_time_total)
    assert outer.time_range.start <= inner.time_range.start <= inner.time_range.end <= outer.time_range.end
    assert prof.events().self_cpu_time_total == pytest.approx(outer.cpu_time_total)


def test_memory_is_counted():
    with profile(profile_memory=True) as prof:
        x = torch.zeros(1000)
        with record_function("block"):
            y = x + 1
            del y
        z = x.view(10, 100)
        del x, z
    assert event(prof, "aten::zeros").cpu_memory_usage == 4000
    assert event(prof, "block").cpu_memory_usage == 0 and event(prof, "block").self_cpu_memory_usage == -4000
    assert event(prof, "aten::add").cpu_memory_usage == 4000
    assert [e.cpu_memory_usage for e in prof.events() if e.name == "[memory]"] == [-4000]
    assert "Self CPU Mem" in prof.key_averages().table()


def test_operations_are_counted():
    x = torch.randn(2, 3, 8, 8)
    with profile(with_flops=True) as prof:
        F.conv2d(x, torch.randn(4, 3, 3, 3))
        F.linear(torch.randn(5, 6), torch.randn(7, 6), torch.randn(7))
        torch.randn(5, 6) @ torch.randn(6, 2)
        x + x
        x.relu()
    flops = {e.name: e.flops for e in prof.events() if e.flops}
    assert flops == {"aten::conv2d": 2 * 2 * 4 * 36 * 27, "aten::addmm": 2 * 5 * 6 * 7, "aten::mm": 2 * 5 * 6 * 2,
                     "aten::add": x.numel()}
    assert "Total FLOPs" in prof.key_averages().table()


def _inner(x):
    return torch.add(x, x)


def _outer(x):
    return _inner(x)


def test_stacks(tmp_path):
    x = torch.randn(300, 300)
    with profile(with_stack=True) as prof:
        _outer(x)
        for _ in range(40):
            x.exp()
    stack = event(prof, "aten::add").stack
    assert stack[0].endswith(": _inner") and stack[1].endswith(": _outer") and "test_profiler.py(" in stack[0]
    prof.export_stacks(str(tmp_path / "stacks"))
    lines = (tmp_path / "stacks").read_text().splitlines()
    assert lines and all(line.rsplit(" ", 1)[1].isdigit() for line in lines)
    assert prof.key_averages(group_by_stack_n=2).table().count("_inner") == 1
    with pytest.raises(ValueError, match="metric"):
        prof.export_stacks(str(tmp_path / "stacks"), "colour")
    with profile() as prof:
        _outer(x)
    with pytest.raises(AssertionError, match="with_stack"):
        prof.export_stacks(str(tmp_path / "stacks"))


def test_sums_and_tables():
    a, b = torch.randn(2), torch.randn(3)
    with profile(record_shapes=True) as prof:
        for _ in range(3):
            a + a
        b + b
        b.exp()
    sums = {e.key: e for e in prof.key_averages()}
    assert sums["aten::add"].count == 4 and sums["aten::exp"].count == 1
    adds = sums["aten::add"]
    assert adds.cpu_time == pytest.approx(adds.cpu_time_total / 4)
    by_shape = [e for e in prof.key_averages(group_by_input_shape=True) if e.key == "aten::add"]
    assert sorted(e.count for e in by_shape) == [1, 3]
    text = prof.key_averages().table(sort_by="count", row_limit=1)
    lines = text.splitlines()
    assert lines[1].split() == ["Name", "Self", "CPU", "%", "Self", "CPU", "CPU", "total", "%", "CPU", "total", "CPU",
                                "time", "avg", "#", "of", "Calls"]
    assert lines[3].split()[0] == "aten::add" and lines[3].split()[-1] == "4" and "aten::exp" not in text
    assert lines[5].startswith("Self CPU time total: ")
    assert prof.key_averages().total_average().count == 5
    with pytest.raises(AttributeError):
        prof.key_averages().table(sort_by="colour")
    assert "ms" in prof.key_averages().table(time_unit="ms") and "Input Shapes" in prof.key_averages(True).table()


def test_layout_of_a_table():
    from rushlight.autograd.profiler_util import EventList, FunctionEvent
    events = EventList([FunctionEvent(1, "aten::add", 1, 0, 1500), FunctionEvent(2, "x" * 60, 1, 0, 500)])
    assert events.table(sort_by="cpu_time_total").splitlines() == [
        "-" * 55 + "  " + ("-" * 12 + "  ") * 6,
        "Name".rjust(55) + "".join(f"  {t:>12}" for t in ("Self CPU %", "Self CPU", "CPU total %", "CPU total",
                                                          "CPU time avg", "# of Calls")) + "  ",
        "-" * 55 + "  " + ("-" * 12 + "  ") * 6,
        "aten::add".rjust(55) + "".join(f"  {t:>12}" for t in ("75.00%", "1.500ms", "75.00%", "1.500ms", "1.500ms",
                                                               "1")) + "  ",
        "x" * 52 + "..." + "".join(f"  {t:>12}" for t in ("25.00%", "500.000us", "25.00%", "500.000us", "500.000us",
                                                          "1")) + "  ",
        "-" * 55 + "  " + ("-" * 12 + "  ") * 6,
        "Self CPU time total: 2.000ms"]


def test_chrome_trace(tmp_path):
    x = torch.randn(3, requires_grad=True)
    with profile(record_shapes=True, profile_memory=True) as prof:
        with record_function("mine"):
            (x * x).sum().backward()
        prof.add_metadata("run", "7")
        prof.add_metadata_json("parts", "[1, 2]")
    path = tmp_path / "trace.json"
    prof.export_chrome_trace(str(path))
    trace = json.loads(path.read_text())
    assert trace["run"] == "7" and trace["parts"] == [1, 2]
    spans = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    mul = next(e for e in spans if e["name"] == "aten::mul")
    mine = next(e for e in spans if e["name"] == "mine")
    assert mul["cat"] == "cpu_op" and mine["cat"] == "user_annotation" and mul["args"]["Input Dims"][0] == [3]
    assert mine["ts"] <= mul["ts"] and mul["ts"] + mul["dur"] <= mine["ts"] + mine["dur"]
    flows = [e for e in trace["traceEvents"] if e.get("cat") == "fwdbwd"]
    assert {e["ph"] for e in flows} == {"s", "f"} and len(flows) == 4
    assert any(e["name"] == "[memory]" and e["args"]["Bytes"] == 12 for e in trace["traceEvents"])
    prof.export_chrome_trace(str(tmp_path / "trace.json.gz"))
    assert json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))["schemaVersion"] == 1


def test_schedule_and_handler(tmp_path):
    act = schedule(skip_first=1, wait=1, warmup=1, active=2, repeat=2)
    assert [act(i).name for i in range(10)] == ["NONE", "NONE", "WARMUP", "RECORD", "RECORD_AND_SAVE", "NONE", "WARMUP",
                                               "RECORD", "RECORD_AND_SAVE", "NONE"]
    seen = []
    with profile(schedule=schedule(wait=1, warmup=1, active=2, repeat=2),
                 on_trace_ready=lambda p: seen.append((p.step_num, names(p)))) as prof:
        x = torch.randn(2)
        for _ in range(8):
            torch.add(x, x)
            prof.step()
    assert seen == [(n, ["ProfilerStep*", "aten::add"] * 2) for n in (4, 8)]
    with profile(on_trace_ready=tensorboard_trace_handler(str(tmp_path / "logs"), "w", use_gzip=True)):
        torch.add(x, x)
    file, = (tmp_path / "logs").iterdir()
    assert file.name.startswith("w.") and file.name.endswith(".pt.trace.json.gz")
    for bad in ({"wait": -1, "warmup": 0, "active": 1}, {"wait": 0, "warmup": 0, "active": 0}):
        with pytest.raises(AssertionError, match="Invalid profiler schedule"):
            schedule(**bad)
    assert act(4) is ProfilerAction.RECORD_AND_SAVE and supported_activities() == {ProfilerActivity.CPU}


def test_events_of_cycles_can_be_kept():
    x = torch.randn(2)
    with pytest.warns(UserWarning, match="warmup"):
        plan = schedule(wait=0, warmup=0, active=1)
    with profile(schedule=plan, acc_events=True) as prof:
        for _ in range(3):
            x + 1
            prof.step()
    assert names(prof).count("aten::add") == 3


def test_started_by_hand():
    prof = profile()
    with pytest.raises(AssertionError, match="initialized"):
        prof.key_averages()
    prof.start()
    torch.ones(2)
    prof.stop()
    torch.ones(2)
    assert names(prof) == ["aten::ones"]


def test_profiles_nest():
    x = torch.randn(2)
    with profile() as outer:
        x + 1
        with profile() as inner:
            x * 2
        x - 1
    assert names(inner) == ["aten::mul"] and names(outer) == ["aten::add", "aten::mul", "aten::sub"]


def test_other_threads_are_not_told_of():
    from threading import Thread
    x = torch.randn(2)
    with profile() as prof:
        thread = Thread(target=lambda: x.exp())
        thread.start()
        thread.join()
        x + 1
    assert names(prof) == ["aten::add"]


def test_the_autograd_profiler():
    x = torch.randn(2, requires_grad=True)
    prof = autograd_profiler.profile()
    assert repr(prof) == "<unfinished torch.autograd.profile>"
    with prof:
        with autograd_profiler.record_function("a"):
            x.exp()

        @record_function("b")
        def f():
            return x.sin()
        f()
    assert [e.name for e in prof.function_events] == ["a", "aten::exp", "b", "aten::sin"]
    assert str(prof) == prof.table() and "aten::exp" in prof.key_averages().table()
    assert prof.self_cpu_time_total > 0
    with pytest.raises(RuntimeError, match="not reentrant"):
        prof.__enter__()
    with autograd_profiler.profile(enabled=False) as off:
        x.exp()
    with pytest.raises(RuntimeError, match="didn't finish"):
        off.function_events
    with pytest.raises(AssertionError, match="CUDA"):
        autograd_profiler.emit_nvtx().__enter__()
    with autograd_profiler.emit_itt() as marks:
        x.exp()
    with pytest.raises(RuntimeError, match="not reentrant"):
        marks.__enter__()
    unique = autograd_profiler.EnforceUnique()
    unique.see(1, 2)
    with pytest.raises(RuntimeError, match="duplicate"):
        unique.see(1, 2)


def test_optimizers_are_annotated():
    p = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([p], lr=0.1)
    p.grad = torch.ones(3)
    with profile() as prof:
        optimizer.step()
        optimizer.zero_grad()
    found = names(prof)
    assert "Optimizer.step#SGD.step" in found and "Optimizer.zero_grad#SGD.zero_grad" in found
    optimizer.step()
    assert names(prof) == found


def test_batches_are_annotated():
    from rushlight.utils.data import DataLoader, TensorDataset
    with profile() as prof:
        for _ in DataLoader(TensorDataset(torch.arange(4)), 2):
            pass
    assert names(prof).count("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__") == 3


def test_activities_that_are_not_there():
    with pytest.warns(UserWarning, match="CUDA is not available"):
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as prof:
            torch.ones(2)
    assert names(prof) == ["aten::ones"]
    with pytest.raises(AssertionError, match="No activities"), pytest.warns(UserWarning):
        profile(activities=[ProfilerActivity.CUDA]).start()
    with pytest.raises(AssertionError, match="No valid"):
        profile(activities=[])


def test_compiled_programs_are_one_event_with_kernels():
    w = torch.randn(8, 8)

    @torch.compile
    def f(x):
        return torch.relu(x @ w) + 1
    x = torch.randn(4, 8)
    expected = [f(x) for _ in range(4)][-1]
    with profile() as prof:
        y = f(x)
    region = prof.events()[0]
    assert region.name == "Torch-Compiled Region: f" and region.cpu_parent is None
    program = region.cpu_children[0]
    assert program.name == "CompiledFunction: f" and program.cpu_children
    assert program.cpu_time_total >= sum(k.cpu_time_total for k in program.cpu_children) > 0
    assert np.array_equal(y.numpy(), expected.numpy()) and np.array_equal(f(x).numpy(), expected.numpy())


def test_execution_trace(tmp_path):
    path = str(tmp_path / "graph.json")
    observer = ExecutionTraceObserver().register_callback(path)
    x = torch.randn(2, 3)
    with profile(execution_trace_observer=observer):
        with record_function("block"):
            x + x
    content = json.loads((tmp_path / "graph.json").read_text())
    nodes = {n["name"]: n for n in content["nodes"]}
    assert nodes["aten::add"]["ctrl_deps"] == nodes["block"]["id"]
    assert nodes["aten::add"]["inputs"]["shapes"][:2] == [[2, 3], [2, 3]]
    observer = ExecutionTraceObserver().register_callback(path)
    with observer:
        x.exp()
    assert [n["name"] for n in json.loads((tmp_path / "graph.json").read_text())["nodes"][2:]] == ["aten::exp"]


def test_collection_can_be_paused():
    x = torch.randn(2)
    with profile() as prof:
        x + 1
        prof.toggle_collection_dynamic(False, [ProfilerActivity.CPU])
        x * 1
        prof.toggle_collection_dynamic(True, [ProfilerActivity.CPU])
        x - 1
    assert names(prof) == ["aten::add", "aten::sub"]
