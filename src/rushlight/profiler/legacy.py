"""``torch.autograd.profiler``: profiling as one context, and marks for other tools."""

import os
import warnings

from . import trace
from .listing import EventList, of_recorder
from .recorder import Recorder


class profile:
    """Context that writes down every op of this thread, forward and backward.

    Args:
        enabled (bool): False makes it do nothing.
        record_shapes (bool): keep the arguments' shapes. with_flops (bool): count operations of products,
            convolutions, additions and multiplications. profile_memory (bool): count memory that tensors take and give
            back. with_stack (bool): keep the stack of callers.
        use_cuda, use_device, with_modules, use_kineto, use_cpu, experimental_config, post_processing_timeout_s,
            activity_filters: accepted; there are events of the CPU only.
        acc_events (bool): keep events of earlier uses of the same object. custom_trace_id_callback: gives the id of
            the trace.
    """

    def __init__(self, enabled=True, *, use_cuda=False, use_device=None, record_shapes=False, with_flops=False,
                 profile_memory=False, with_stack=False, with_modules=False, use_kineto=False, use_cpu=True,
                 experimental_config=None, acc_events=False, custom_trace_id_callback=None,
                 post_processing_timeout_s=None, activity_filters=None):
        self.enabled = enabled
        self.use_cuda, self.use_device, self.use_cpu = use_cuda, use_device, use_cpu
        if enabled and (use_cuda or use_device not in (None, "cpu")):
            warnings.warn(f"{use_device or 'CUDA'} is not available, disabling its profiling", stacklevel=2)
            self.use_device = None
        self.record_shapes, self.profile_memory = record_shapes or with_flops, profile_memory
        self.with_flops, self.with_stack, self.with_modules = with_flops, with_stack, with_modules
        self.acc_events, self.custom_trace_id_callback, self.trace_id = acc_events, custom_trace_id_callback, ""
        self.entered, self.recorder, self._events = False, None, None

    # ------------------------------------------------------------ running

    def default_trace_id(self):
        """A fresh id, 32 hexadecimal digits."""
        import uuid
        return uuid.uuid4().hex.upper()

    def create_trace_id(self):
        """The id of the next trace."""
        callback = self.custom_trace_id_callback
        return self.default_trace_id() if callback is None else callback()

    def _start(self):
        self._earlier = list(self.function_events) if self.acc_events and self.recorder is not None else []
        self._events = None
        self.trace_id = self.create_trace_id()
        self.recorder = Recorder(self.record_shapes, self.profile_memory, self.with_stack, self.with_flops)
        self.recorder.start()

    def _stop(self):
        self.recorder.stop()

    def __enter__(self):
        if not self.enabled:
            return self
        if self.entered:
            raise RuntimeError("Profiler context manager is not reentrant")
        self._start()
        self.entered = True
        return self

    def __exit__(self, *exc):
        if self.enabled:
            self._stop()
        return False

    def toggle_collection_dynamic(self, enabled, activities):
        """Pause or continue writing down, while the profiler runs."""
        if self.recorder is not None:
            self.recorder.pause(not enabled)

    def config(self, create_trace_id=False):
        """What is written down, as a dict."""
        if create_trace_id:
            self.trace_id = self.create_trace_id()
        return {"report_input_shapes": self.record_shapes, "profile_memory": self.profile_memory,
                "with_stack": self.with_stack, "with_flops": self.with_flops, "with_modules": self.with_modules,
                "trace_id": self.trace_id}

    # ------------------------------------------------------------ results

    def _check_finish(self):
        if self.recorder is None or self.recorder.running:
            raise RuntimeError("Profiler didn't finish running")

    @property
    def function_events(self):
        """The `EventList` of what was written down."""
        self._check_finish()
        if self._events is None:
            found = of_recorder(self.recorder)
            if self._earlier:
                found[:0] = self._earlier
            self._events = found
        return self._events

    @property
    def self_cpu_time_total(self):
        """CPU time of all events, in us."""
        return self.function_events.self_cpu_time_total

    def _finished(self):
        return self.recorder is not None and not self.recorder.running

    def __repr__(self):
        return repr(self.function_events) if self._finished() else "<unfinished torch.autograd.profile>"

    def __str__(self):
        return str(self.function_events) if self._finished() else "<unfinished torch.autograd.profile>"

    def table(self, sort_by=None, row_limit=100, max_src_column_width=75, max_name_column_width=55,
              max_shapes_column_width=80, header=None, top_level_events_only=False, time_unit=None):
        """The events as a table: `EventList.table`."""
        return self.function_events.table(sort_by, row_limit, max_src_column_width, max_name_column_width,
                                          max_shapes_column_width, header, top_level_events_only, time_unit)

    def key_averages(self, group_by_input_shape=False, group_by_stack_n=0, group_by_overload_name=False):
        """Sums of the events by name: `EventList.key_averages`."""
        return self.function_events.key_averages(group_by_input_shape, group_by_stack_n, group_by_overload_name)

    def total_average(self):
        """The sums over all events."""
        return self.function_events.total_average()

    def export_chrome_trace(self, path, extra_metadata=None):
        """Write a trace that chrome://tracing and Perfetto show."""
        self._check_finish()
        facts = {"trace_id": self.trace_id, **(extra_metadata or {})}
        trace.write(path, trace.of_recorder(self.recorder, facts))

    def export_stacks(self, path, metric="self_cpu_time_total"):
        """Write stacks with their times, the input of flame graph tools: `EventList.export_stacks`."""
        self._check_finish()
        if not self.with_stack:
            raise AssertionError("export_stacks() requires with_stack=True")
        return self.function_events.export_stacks(path, metric)


class emit_itt:
    """Context that marks ops for Intel's tools: nothing, where none of them collects.

    Raises:
        RuntimeError: it is entered a second time.
        NotImplementedError: a collector is there (``INTEL_LIBITTNOTIFY64``): ops are no ITT tasks here.
    """

    def __init__(self, enabled=True, record_shapes=False):
        self.enabled, self.record_shapes, self.entered = enabled, record_shapes, False

    def __enter__(self):
        if not self.enabled:
            return None
        if self.entered:
            raise RuntimeError(f"{type(self).__name__} annotation context manager is not reentrant")
        self._begin()
        self.entered = True
        return self

    def _begin(self):
        if os.environ.get("INTEL_LIBITTNOTIFY64"):
            raise NotImplementedError("emit_itt: telling Intel's collectors; profile() writes traces")

    def __exit__(self, *exc):
        return False


class emit_nvtx(emit_itt):
    """Context that marks ops for NVIDIA's tools, on machines with CUDA; AssertionError elsewhere."""

    def _begin(self):
        raise AssertionError("Torch not compiled with CUDA enabled")


def load_nvprof(path):
    """The events in an nvprof database, as an `EventList` (see `parse_nvprof_trace`)."""
    return EventList(parse_nvprof_trace(path), use_device="cuda")


def parse_nvprof_trace(path):
    """Events that nvprof wrote down while `emit_nvtx` was on.

    NotImplementedError: there are no CUDA ops that could have been marked.
    """
    raise NotImplementedError(f"{path}: reading nvprof databases, as CUDA ops are not marked for nvprof")
