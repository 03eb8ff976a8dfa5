"""Events as users see them: one call (`FunctionEvent`), calls of one kind together (`FunctionEventAvg`)."""

import enum
from collections import defaultdict, namedtuple

Kernel = namedtuple("Kernel", ("name", "device", "duration"))


class DeviceType(enum.IntEnum):
    """Kinds of devices that events may belong to; here all are the CPU's."""

    CPU = 0
    CUDA = 1

    def __repr__(self):
        return f"<DeviceType.{self.name}: {self.value}>"

    def __str__(self):
        return f"DeviceType.{self.name}"


def time_text(us):
    """A time given in us, as text with its unit."""
    if us >= 1e6:
        return f"{us / 1e6:.3f}s"
    if us >= 1e3:
        return f"{us / 1e3:.3f}ms"
    return f"{us:.3f}us"


def memory_text(nbytes):
    """A number of bytes, as text with its unit."""
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if abs(nbytes) >= size:
            return f"{nbytes / size:.2f} {unit}"
    return f"{nbytes} B"


class Interval:
    """A stretch of time from `start` to `end`, in us."""

    def __init__(self, start, end):
        self.start, self.end = start, end

    def elapsed_us(self):
        """Its length."""
        return self.end - self.start

    def elapsed_ns(self):
        """Its length in ns."""
        return int(self.elapsed_us() * 1000)


class EventMetadata:
    """Further facts about an event of a trace, by name."""

    def __init__(self, **facts):
        self.__dict__.update(facts)


class StringTable(defaultdict):
    """Names to be shown, by names as they were recorded (C++ names are left as they are)."""

    def __missing__(self, key):
        value = self[key] = key
        return value


class MemRecordsAcc:
    """Sums of memory records by time. Each record has ``start_ns()``; they are kept in order of time."""

    def __init__(self, mem_records):
        self._records = sorted(mem_records, key=lambda r: r[0].start_ns())
        self._times = [r[0].start_ns() for r in self._records]

    def in_interval(self, start_us, end_us):
        """The records from `start_us` to `end_us`."""
        from bisect import bisect_left, bisect_right
        yield from self._records[bisect_left(self._times, start_us * 1000):bisect_right(self._times, end_us * 1000)]


def _as_text(name):
    return property(lambda self: time_text(getattr(self, name)), doc=f"``{name}`` as text with its unit.")


class FormattedTimesMixin:
    """Times of an event as text, and averages a call."""

    cpu_time_str = _as_text("cpu_time")
    cpu_time_total_str = _as_text("cpu_time_total")
    self_cpu_time_total_str = _as_text("self_cpu_time_total")
    device_time_str = _as_text("device_time")
    device_time_total_str = _as_text("device_time_total")
    self_device_time_total_str = _as_text("self_device_time_total")

    @property
    def cpu_time(self):
        """CPU time of a call, in us."""
        return 0.0 if self.count == 0 else self.cpu_time_total / self.count

    @property
    def device_time(self):
        """Time on an accelerator of a call, in us."""
        return 0.0 if self.count == 0 else self.device_time_total / self.count

    cuda_time = device_time
    cuda_time_total = property(lambda self: self.device_time_total)
    self_cuda_time_total = property(lambda self: self.self_device_time_total)
    self_cuda_memory_usage = property(lambda self: self.self_device_memory_usage)


class FunctionEvent(FormattedTimesMixin):
    """One timed call: an op, a node of the backward pass or an annotation. Times in us, memory in bytes."""

    def __init__(self, id, name, thread, start_us, end_us, overload_name=None, fwd_thread=None, input_shapes=None,
                 stack=None, scope=0, use_device=None, cpu_memory_usage=0, device_memory_usage=0, is_async=False,
                 is_remote=False, sequence_nr=-1, node_id=-1, device_type=DeviceType.CPU, device_index=0,
                 device_resource_id=None, is_legacy=False, flops=None, trace_name=None, concrete_inputs=None,
                 kwinputs=None, is_user_annotation=False, is_python_function=False, activity_type=None,
                 metadata_json=None, flow_id=None, flow_type=None, flow_start=None, external_id=0,
                 linked_correlation_id=0, extra_meta=None, structured_input_shapes=None, structured_input_strides=None,
                 input_dtypes=None, python_id=-1, python_parent_id=-1, python_module_id=-1):
        self.id, self.name, self.thread, self.node_id = id, name, thread, node_id
        self.overload_name, self.trace_name = overload_name, name if trace_name is None else trace_name
        self.time_range = Interval(start_us, end_us)
        self.fwd_thread, self.input_shapes, self.stack, self.scope = fwd_thread, input_shapes, stack, scope
        self.use_device, self.is_async, self.is_remote, self.is_legacy = use_device, is_async, is_remote, is_legacy
        self.cpu_memory_usage, self.device_memory_usage = cpu_memory_usage, device_memory_usage
        self.sequence_nr, self.flops = sequence_nr, flops
        self.device_type, self.device_index = device_type, device_index
        self.device_resource_id = thread if device_resource_id is None else device_resource_id
        self.concrete_inputs, self.kwinputs = concrete_inputs, kwinputs
        self.is_user_annotation, self.is_python_function = is_user_annotation, is_python_function
        self.activity_type, self.metadata_json, self.extra_meta = activity_type, metadata_json, extra_meta
        self.flow_id, self.flow_type, self.flow_start = flow_id, flow_type, flow_start
        self.external_id, self.linked_correlation_id = external_id, linked_correlation_id
        self.structured_input_shapes = structured_input_shapes
        self.structured_input_strides, self.input_dtypes = structured_input_strides, input_dtypes
        self.python_id, self.python_parent_id = python_id, python_parent_id
        self.python_module_id = python_module_id
        self.count = 1
        self.kernels, self.cpu_children, self.cpu_parent = [], [], None

    @property
    def key(self):
        """What calls of one kind have in common."""
        return self.name

    def append_kernel(self, name, device, duration):
        """Add a kernel of an accelerator."""
        self.kernels.append(Kernel(name, device, duration))

    def append_cpu_child(self, child):
        """Add an event that ran inside of this one."""
        self.cpu_children.append(child)

    def set_cpu_parent(self, parent):
        """Set the event that this one ran in."""
        self.cpu_parent = parent

    @property
    def cpu_time_total(self):
        """CPU time from begin to end, in us."""
        return self.time_range.elapsed_us() if self.device_type == DeviceType.CPU else 0

    @property
    def self_cpu_time_total(self):
        """CPU time outside of the events inside, in us."""
        return self.cpu_time_total - sum(c.cpu_time_total for c in self.cpu_children)

    @property
    def self_cpu_memory_usage(self):
        """Bytes allocated minus bytes freed, outside of the events inside."""
        return self.cpu_memory_usage - sum(c.cpu_memory_usage for c in self.cpu_children)

    @property
    def self_device_memory_usage(self):
        """Bytes of an accelerator, outside of the events inside."""
        return self.device_memory_usage - sum(c.device_memory_usage for c in self.cpu_children)

    @property
    def device_time_total(self):
        """Time of kernels on an accelerator, in us."""
        return sum(k.duration for k in self.kernels) + sum(c.device_time_total for c in self.cpu_children)

    @property
    def self_device_time_total(self):
        """Time of this event's own kernels on an accelerator, in us."""
        return sum(k.duration for k in self.kernels)

    def __repr__(self):
        device = self.use_device
        return (f"<FunctionEvent id={self.id} name={self.name} overload_name={self.overload_name} "
                f"device_type={self.device_type} node_id={self.node_id} cpu_time={self.cpu_time_str} "
                f"start_us={self.time_range.start} end_us={self.time_range.end} "
                f"cpu_children={[c.id for c in self.cpu_children]} {device}_time={self.device_time_str} "
                f"name={self.name} thread={self.thread} input_shapes={self.input_shapes} "
                f"cpu_memory_usage={self.cpu_memory_usage} {device}_memory_usage={self.device_memory_usage} "
                f"is_async={self.is_async} is_remote={self.is_remote} seq_nr={self.sequence_nr} "
                f"is_legacy={self.is_legacy}>")


class FunctionEventAvg(FormattedTimesMixin):
    """The sums over events with one key; ``cpu_time`` is the average a call."""

    def __init__(self):
        self.key, self.count, self.node_id = None, 0, 0
        self.is_async = self.is_remote = self.is_legacy = self.is_user_annotation = False
        self.use_device, self.overload_name = None, None
        self.cpu_time_total = self.self_cpu_time_total = 0
        self.device_time_total = self.self_device_time_total = 0
        self.input_shapes = self.stack = self.scope = None
        self.cpu_memory_usage = self.self_cpu_memory_usage = 0
        self.device_memory_usage = self.self_device_memory_usage = 0
        self.cpu_children = self.cpu_parent = None
        self.device_type, self.flops = DeviceType.CPU, 0

    def add(self, other):
        """Add an event, or other sums with the same key; returns self."""
        if self.key is None:
            for name in ("key", "node_id", "is_async", "is_remote", "is_legacy", "use_device", "overload_name",
                         "input_shapes", "stack", "scope", "cpu_parent", "device_type", "is_user_annotation"):
                setattr(self, name, getattr(other, name))
        elif other.key != self.key:
            raise AssertionError(f"expected events of '{self.key}', got one of '{other.key}'")
        for name in ("cpu_time_total", "self_cpu_time_total", "device_time_total", "self_device_time_total",
                     "cpu_memory_usage", "self_cpu_memory_usage", "device_memory_usage", "self_device_memory_usage",
                     "count"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.flops = (self.flops or 0) + (other.flops or 0)
        return self

    __iadd__ = add

    def __repr__(self):
        device = self.use_device or "cuda"
        return (f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} "
                f"cpu_time={self.cpu_time_str}  self_{device}_time={self.self_device_time_total_str} "
                f"{device}_time={self.device_time_str} input_shapes={self.input_shapes} "
                f"cpu_memory_usage={self.cpu_memory_usage} {device}_memory_usage={self.device_memory_usage}>")
