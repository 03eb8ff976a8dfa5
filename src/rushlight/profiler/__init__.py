"""Profiling: where the time and the memory of a program go, op by op.

    with torch.profiler.profile(record_shapes=True) as prof:
        model(x).sum().backward()
    print(prof.key_averages().table(sort_by="self_cpu_time_total", row_limit=10))
    prof.export_chrome_trace("trace.json")

Events are public functions, the kernels they run, nodes of the backward pass, programs that `compile` made with their
kernels, steps of optimizers and stretches that `record_function` names. Without a profiler nothing of this costs time.
"""

from .annotations import record_function
from .events import DeviceType
from .execution import ExecutionTraceObserver
from .profiling import (
    ProfilerAction,
    ProfilerActivity,
    kineto_available,
    profile,
    schedule,
    supported_activities,
    tensorboard_trace_handler,
)

__all__ = ["DeviceType", "ExecutionTraceObserver", "ProfilerAction", "ProfilerActivity", "kineto_available", "profile",
           "record_function", "schedule", "supported_activities", "tensorboard_trace_handler"]
