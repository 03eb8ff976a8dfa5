"""``torch.profiler``: profiling of a training loop, some of its steps at a time."""

import enum
import os

from . import trace
from .annotations import KinetoStepTracker, record_function
from .legacy import profile as _Profile


class ProfilerActivity(enum.Enum):
    """Kinds of activity that may be profiled; here the CPU's."""

    CPU = 0
    XPU = 1
    CUDA = 2
    HPU = 3
    MTIA = 4
    PrivateUse1 = 5

    def __str__(self):
        return f"ProfilerActivity.{self.name}"


class ProfilerAction(enum.Enum):
    """What a profiler does in a step: nothing, get ready, record, record and hand over the trace at its end."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3
    DEVICE_STOPPED = 4


def supported_activities():
    """The set of activities that can be profiled on this machine."""
    return {ProfilerActivity.CPU}


def kineto_available():
    """Whether profiling is available: True, its recorder is part of this package."""
    return True


def schedule(*, wait, warmup, active, repeat=0, skip_first=0, skip_first_wait=0):
    """A function from step numbers to actions, for `profile`'s argument of this name.

    After `skip_first` steps, cycles of `wait` idle steps, `warmup` steps to get ready and `active` recorded ones
    follow, `repeat` of them (0: without end); with `skip_first_wait` the first cycle has no idle steps.

    Raises:
        AssertionError: a negative number, or no active steps.
    """
    if wait < 0 or warmup < 0 or active <= 0 or repeat < 0 or skip_first < 0:
        raise AssertionError(f"Invalid profiler schedule arguments. Got wait={wait} (need >= 0), warmup={warmup} "
                             f"(need >= 0), active={active} (need > 0), repeat={repeat} (need >= 0), "
                             f"skip_first={skip_first} (need >= 0).")
    if warmup == 0:
        import warnings
        warnings.warn("Profiler won't be using warmup, this can skew profiler results", stacklevel=2)

    def action(step):
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        length = wait + warmup + active
        if repeat > 0 and step // length >= repeat:
            return ProfilerAction.NONE
        at = step % length
        if at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if at < length - 1 else ProfilerAction.RECORD_AND_SAVE
    return action


def tensorboard_trace_handler(dir_name, worker_name=None, use_gzip=False, use_python_export=False):
    """A function for ``on_trace_ready`` that writes each trace to the directory `dir_name`, for TensorBoard.

    Files are called ``<worker>.<time>.pt.trace.json``, with ``.gz`` if `use_gzip`; `worker_name` is host and process by
    default. The directory is made if it is not there; RuntimeError if that can't be done.
    """
    def handler(prof):
        import socket
        import time
        try:
            os.makedirs(dir_name, exist_ok=True)
        except Exception as error:
            raise RuntimeError("Can't create directory: " + dir_name) from error
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        name = f"{worker}.{time.time_ns()}.pt.trace.json" + (".gz" if use_gzip else "")
        prof.export_chrome_trace(os.path.join(dir_name, name))
    return handler


class _KinetoProfile:
    """A profiler that is started and stopped by hand; see `profile` for the arguments."""

    def __init__(self, *, activities=None, record_shapes=False, profile_memory=False, with_stack=False,
                 with_flops=False, with_modules=False, experimental_config=None, execution_trace_observer=None,
                 acc_events=False, custom_trace_id_callback=None, post_processing_timeout_s=None):
        self.activities = list(activities) if activities else supported_activities()
        if not activities and activities is not None:
            raise AssertionError("No valid profiler activities found")
        self.record_shapes, self.profile_memory, self.with_stack = record_shapes, profile_memory, with_stack
        self.with_flops, self.with_modules, self.acc_events = with_flops, with_modules, acc_events
        self.custom_trace_id_callback = custom_trace_id_callback
        self.execution_trace_observer = execution_trace_observer
        self.profiler, self.preset_metadata, self._facts = None, {}, {}

    # ------------------------------------------------------------ running

    def start(self):
        """Begin to record."""
        self.prepare_trace()
        self.start_trace()

    def stop(self):
        """End recording."""
        self.stop_trace()

    def prepare_trace(self):
        """Get ready."""
        there = supported_activities()
        for activity in sorted(a.name for a in self._asked() - there):
            import warnings
            warnings.warn(f"{activity} is not available, disabling {activity} profiling", stacklevel=4)
        if not self._asked() & there:
            raise AssertionError("No activities specified for the profiler")
        if self.profiler is None or not self.acc_events:
            self.profiler = _Profile(
                record_shapes=self.record_shapes or self.execution_trace_observer is not None,
                with_flops=self.with_flops, profile_memory=self.profile_memory,
                with_stack=self.with_stack, with_modules=self.with_modules, acc_events=self.acc_events,
                custom_trace_id_callback=self.custom_trace_id_callback)
        from .arming import arm
        arm()

    def _asked(self):
        """The activities, which may be given with filters, as ``{activity: [names]}``."""
        found = set()
        for a in self.activities:
            found |= set(a) if isinstance(a, dict) else {a}
        return found

    def start_trace(self):
        """Begin to record, after `prepare_trace`."""
        if self.profiler is None:
            raise AssertionError("Profiler must be initialized before starting trace")
        self._facts = dict(self.preset_metadata)
        self.profiler._start()
        if self.execution_trace_observer is not None:
            self.execution_trace_observer.start()

    def stop_trace(self):
        """End recording."""
        if self.profiler is None:
            raise AssertionError("Profiler must be initialized before stopping trace")
        if self.execution_trace_observer is not None:
            self.execution_trace_observer.stop()
        self.profiler._stop()

    def toggle_collection_dynamic(self, enable, activities):
        """Pause or continue recording, while the profiler runs."""
        if self.profiler is not None:
            self.profiler.toggle_collection_dynamic(enable, activities)

    # ------------------------------------------------------------ results

    def _done(self, what):
        if self.profiler is None:
            raise AssertionError(f"Profiler must be initialized before {what}")
        return self.profiler

    def events(self):
        """The recorded events, an `EventList`."""
        return self._done("accessing events").function_events

    def key_averages(self, group_by_input_shape=False, group_by_stack_n=0, group_by_overload_name=False):
        """Sums of the events by name, and by shapes or innermost frames if asked for; see `EventList.key_averages`."""
        return self._done("getting key averages").key_averages(group_by_input_shape, group_by_stack_n,
                                                               group_by_overload_name)

    def export_chrome_trace(self, path):
        """Write a trace that chrome://tracing and Perfetto show (compressed where the name ends in ``.gz``)."""
        self._done("exporting chrome trace").export_chrome_trace(path, self._facts)

    def export_stacks(self, path, metric="self_cpu_time_total"):
        """Write stacks with their times, the input of flame graph tools; needs ``with_stack=True``."""
        return self._done("exporting stacks").export_stacks(path, metric)

    def export_memory_timeline(self, path, device=None):
        """Write how many bytes tensors took by time: JSON of ``[times in us, bytes]``, raw or ``.gz``.

        Needs ``profile_memory=True``. Only tensors made while the profiler ran are counted. NotImplementedError for a
        name that ends in ``.html``.
        """
        prof = self._done("exporting memory timeline")
        if not self.profile_memory:
            raise ValueError("record_shapes=True, profile_memory=True, with_stack=True required for memory profiling.")
        if str(path).endswith(".html"):
            raise NotImplementedError("export_memory_timeline: pictures; ask for .json")
        recorder, times, sizes = prof.recorder, [], []
        stack = list(reversed(recorder.roots))
        while stack:
            raw = stack.pop()
            if raw.kind == "cpu_instant_event":
                times.append(raw.start / 1e3)
                sizes.append(raw.total)
            stack.extend(reversed(raw.children))
        trace.write_text(path, [times, sizes])

    def add_metadata(self, key, value):
        """Add a text to the trace, under a key."""
        self._facts[key] = value

    def add_metadata_json(self, key, value):
        """Add a value, given as JSON, to the trace."""
        import json
        self._facts[key] = json.loads(value)

    def preset_metadata_json(self, key, value):
        """Like `add_metadata_json`, for every trace that is begun from now on."""
        import json
        self.preset_metadata[key] = json.loads(value)


class profile(_KinetoProfile):
    """Context that records the ops of this thread: names, times, shapes, memory, stacks, operation counts.

    Args:
        activities: of `ProfilerActivity`; those that this machine hasn't are let be.
        schedule: from step numbers to `ProfilerAction`; see the function of this name. Default: record everything.
        on_trace_ready: called with this object when a trace is complete.
        record_shapes (bool): keep the arguments' shapes. profile_memory (bool): count memory that tensors take and give
            back. with_stack (bool): keep the stack of callers. with_flops (bool): count operations of products,
            convolutions, additions and multiplications.
        execution_trace_observer: an `ExecutionTraceObserver` that runs along.
        acc_events (bool): keep the events of earlier cycles.
        with_modules, experimental_config, use_cuda, post_processing_timeout_s: accepted, without effect.
        custom_trace_id_callback: gives the ids of traces.

    With a schedule, call ``step()`` at the end of each step of the loop.
    """

    def __init__(self, *, activities=None, schedule=None, on_trace_ready=None, record_shapes=False,
                 profile_memory=False, with_stack=False, with_flops=False, with_modules=False,
                 experimental_config=None, execution_trace_observer=None, acc_events=False, use_cuda=None,
                 custom_trace_id_callback=None, post_processing_timeout_s=None):
        super().__init__(activities=activities, record_shapes=record_shapes, profile_memory=profile_memory,
                         with_stack=with_stack, with_flops=with_flops, with_modules=with_modules,
                         execution_trace_observer=execution_trace_observer, acc_events=acc_events,
                         custom_trace_id_callback=custom_trace_id_callback)
        self.schedule = schedule or (lambda step: ProfilerAction.RECORD)
        self.record_steps, self.on_trace_ready = schedule is not None, on_trace_ready
        self.step_num, self.current_action = 0, self.schedule(0)
        self.step_rec_fn = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def start(self):
        """Begin with step 0."""
        self._go(ProfilerAction.NONE, self.current_action)
        self._mark_step()

    def stop(self):
        """End; a trace that was being recorded is handed over."""
        self._end_step()
        self._go(self.current_action, None)

    def step(self):
        """Tell that the next step of the loop begins."""
        self._end_step()
        before = self.current_action
        self.step_num += 1
        self.current_action = self.schedule(self.step_num)
        self._go(before, self.current_action)
        KinetoStepTracker.increment_step("Profiler")
        self._mark_step()

    def set_custom_trace_id_callback(self, callback):
        """Let `callback` give the ids of traces from now on."""
        self.custom_trace_id_callback = callback
        if self.profiler is not None:
            self.profiler.custom_trace_id_callback = callback

    def get_trace_id(self):
        """The id of the current trace, None before the first."""
        return None if self.profiler is None else self.profiler.trace_id

    def _mark_step(self):
        if self.record_steps:
            self.step_rec_fn = record_function(f"ProfilerStep#{self.step_num}")
            self.step_rec_fn.__enter__()

    def _end_step(self):
        if self.step_rec_fn is not None:
            self.step_rec_fn.__exit__(None, None, None)
            self.step_rec_fn = None

    def _go(self, before, after):
        """From what the last step did to what the next one does (None: the end)."""
        A = ProfilerAction
        recording = before in (A.RECORD, A.RECORD_AND_SAVE)
        if before is A.RECORD and after in (A.NONE, A.WARMUP):
            import warnings
            warnings.warn("Incorrect schedule: RECORD followed by " + after.name, stacklevel=3)
        elif before is A.WARMUP and after is A.NONE:
            import warnings
            warnings.warn("Incorrect schedule: WARMUP followed by NONE", stacklevel=3)
        hands_over = before is A.RECORD_AND_SAVE or before is A.RECORD and after is None
        if recording and (hands_over or after in (A.NONE, A.WARMUP)):
            self.stop_trace()
            if hands_over and self.on_trace_ready is not None:
                self.on_trace_ready(self)
            recording = False
        if after is A.WARMUP and before is not A.WARMUP:
            self.prepare_trace()
        elif after in (A.RECORD, A.RECORD_AND_SAVE) and not recording:
            if before is not A.WARMUP:
                self.prepare_trace()
            self.start_trace()
