"""Traces in the format of chrome://tracing and Perfetto (the Trace Event Format)."""

import gzip
import json
import os
import platform
import sys

from rushlight.serialization._atomic import atomic_write


def of_recorder(recorder, facts=()):
    """The trace of what a recorder wrote down, as a dict; `facts` are further entries of it."""
    from .recorder import BACKWARD
    pid, tid = os.getpid(), recorder.native_thread
    events = _head(pid, tid)
    forward, links, number = {}, [], 0
    stack = list(reversed(recorder.roots))
    while stack:
        raw = stack.pop()
        ts = raw.start / 1e3
        if raw.kind == "cpu_instant_event":
            events.append({"ph": "i", "cat": raw.kind, "s": "t", "name": raw.name, "pid": pid, "tid": tid, "ts": ts,
                           "args": {"Total Reserved": 0, "Total Allocated": raw.total, "Bytes": raw.allocated,
                                    "Device Id": -1, "Device Type": 0, "Addr": raw.address, "Ev Idx": number}})
            number += 1
            continue
        args = {"External id": number + 1, "Record function id": number + 1, "Ev Idx": number}
        number += 1
        if raw.sequence >= 0:
            args |= {"Sequence number": raw.sequence, "Fwd thread id": 1 if raw.scope == BACKWARD else 0}
            if raw.scope == BACKWARD:
                if raw.sequence in forward:
                    links.append((raw.sequence, forward[raw.sequence], ts))
            elif not raw.name.startswith("autograd::"):
                forward[raw.sequence] = ts
        if raw.shapes:
            args |= {"Input Dims": raw.shapes, "Input Strides": raw.strides, "Input type": raw.dtypes,
                     "Concrete Inputs": ["" if x is None else str(x) for x in raw.inputs]}
        if raw.flops:
            args["flops"] = raw.flops
        if raw.stack:
            args["Call stack"] = ";".join(reversed(raw.stack))
        events.append({"ph": "X", "cat": raw.kind, "name": raw.name, "pid": pid, "tid": tid, "ts": ts,
                       "dur": (raw.end - raw.start) / 1e3, "args": args})
        stack.extend(reversed(raw.children))
    for i, (_, begin, end) in enumerate(links):
        link = {"id": i + 1, "pid": pid, "tid": tid, "cat": "fwdbwd", "name": "fwdbwd"}
        events += [{"ph": "s", "ts": begin, **link}, {"ph": "f", "ts": end, "bp": "e", **link}]
    start, end = recorder.began / 1e3, recorder.ended / 1e3
    events += [{"ph": "X", "cat": "Trace", "name": "Profiler (0)", "pid": "Spans", "tid": "Profiler", "ts": start,
                "dur": end - start, "args": {"Op count": 0}},
               {"ph": "i", "s": "g", "name": "Iteration Start: Profiler", "pid": "Traces", "tid": "Trace Profiler",
                "ts": start}]
    return {"schemaVersion": 1, "deviceProperties": [], "profile_memory": int(recorder.memory),
            "record_shapes": int(recorder.shapes), "with_stack": int(recorder.stacks),
            "with_flops": int(recorder.flops), "host_name": platform.node(), **dict(facts), "displayTimeUnit": "ms",
            "traceEvents": events}


def of_events(found):
    """The trace of a list of events."""
    pid = os.getpid()
    return {"schemaVersion": 1, "displayTimeUnit": "ms", "traceEvents": _head(pid, pid) + [
        {"ph": "X", "cat": "cpu_op", "name": e.trace_name, "pid": pid, "tid": e.thread, "ts": e.time_range.start,
         "dur": e.time_range.elapsed_us(), "args": {"Input Dims": e.input_shapes or []}} for e in found
        if hasattr(e, "time_range")]}


def _head(pid, tid):
    name = os.path.basename(sys.executable) or "python"
    return [{"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "ts": 0, "args": {"name": name}},
            {"ph": "M", "name": "process_labels", "pid": pid, "tid": 0, "ts": 0, "args": {"labels": "CPU"}},
            {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "ts": 0,
             "args": {"name": f"thread {tid} ({name})"}}]


def write(path, content):
    """Write a trace, compressed when the name ends in ``.gz``; the file is whole or not there."""
    write_text(path, {**content, "traceName": str(path)})


def write_text(path, content):
    """Write a value as JSON, compressed when the name ends in ``.gz``."""
    text = json.dumps(content).encode()
    if str(path).endswith(".gz"):
        text = gzip.compress(text)
    with atomic_write(path) as f:
        f.write(text)
