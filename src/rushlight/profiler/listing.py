"""Lists of events: sums by key, tables, traces and stacks in files."""

import math

from . import trace
from .events import DeviceType, FunctionEventAvg, memory_text, time_text

_METRICS = ("self_cpu_time_total", "self_cuda_time_total", "self_xpu_time_total", "self_privateuse1_time_total")


class EventList(list):
    """Events of a profiled stretch, or sums of them (as `key_averages` returns)."""

    def __init__(self, *args, use_device=None, profile_memory=False, with_flops=False, recorder=None):
        super().__init__(*args)
        self._use_device, self._profile_memory, self._with_flops = use_device, profile_memory, with_flops
        self._recorder = recorder

    def __str__(self):
        return self.table()

    @property
    def self_cpu_time_total(self):
        """CPU time of all events, each without the events inside, in us."""
        return sum(e.self_cpu_time_total for e in self)

    def supported_export_stacks_metrics(self):
        """What `export_stacks` can weigh stacks by."""
        return list(_METRICS)

    def key_averages(self, group_by_input_shapes=False, group_by_stack_n=0, group_by_overload_name=False):
        """Sums of the events by name.

        Args:
            group_by_input_shapes (bool): tell calls on different shapes apart.
            group_by_stack_n (int): tell calls apart by so many innermost frames.
            group_by_overload_name (bool): tell overloads apart.
        """
        groups = {}
        for e in self:
            key = (e.key, e.node_id, e.device_type, e.is_user_annotation)
            if group_by_overload_name:
                key += (e.overload_name,)
            if group_by_input_shapes:
                key += (str(e.input_shapes),)
            if group_by_stack_n:
                key += tuple((e.stack or [])[:group_by_stack_n])
            groups.setdefault(key, FunctionEventAvg()).add(e)
        for sums in groups.values():
            sums.stack = (sums.stack or [])[:group_by_stack_n]
            sums.input_shapes = sums.input_shapes if group_by_input_shapes else ""
            sums.overload_name = sums.overload_name if group_by_overload_name else ""
        return EventList(groups.values(), use_device=self._use_device, profile_memory=self._profile_memory,
                         with_flops=self._with_flops)

    def total_average(self):
        """The sums over all events."""
        total = FunctionEventAvg()
        for e in self:
            total.add(e)
            total.key = None
        total.key = "Total"
        return total

    def export_chrome_trace(self, path):
        """Write the events as a trace that chrome://tracing and Perfetto show."""
        trace.write(path, trace.of_events(self) if self._recorder is None else trace.of_recorder(self._recorder))

    def export_stacks(self, path, metric="self_cpu_time_total"):
        """Write ``outer;inner;... time`` lines, the input of flame graph tools; times in us."""
        if metric not in _METRICS:
            raise ValueError(f"metric should be one of: {list(_METRICS)}")
        clean = str.maketrans(" ;\t\n", "____")
        name = metric if metric == "self_cpu_time_total" else "self_device_time_total"
        with open(path, "w") as f:
            for e in self:
                if e.stack:
                    value = int(getattr(e, name))
                    if value > 0:
                        f.write(";".join(x.translate(clean) for x in reversed(e.stack)) + f" {value}\n")

    def table(self, sort_by=None, row_limit=100, max_src_column_width=75, max_name_column_width=55,
              max_shapes_column_width=80, header=None, top_level_events_only=False, time_unit=None):
        """The events as a table.

        Args:
            sort_by (str): an attribute of the events, such as ``"cpu_time_total"``, ``"self_cpu_time_total"``,
                ``"cpu_memory_usage"``, ``"count"``; largest first. Default: in order of appearance.
            row_limit (int): rows at most; -1: all.
            max_src_column_width, max_name_column_width, max_shapes_column_width (int): longer texts are cut.
            header (str): a line above.
            top_level_events_only (bool): leave out events inside of others.
            time_unit (str): ``"s"``, ``"ms"`` or ``"us"`` for all times; default: as fits each.
        """
        return _Table(self, sort_by, row_limit, max_src_column_width, max_name_column_width, max_shapes_column_width,
                      header, top_level_events_only, time_unit).text()


class _Table:
    """Columns of a table of events; see `EventList.table`."""

    def __init__(self, events, sort_by, row_limit, source_width, name_width, shapes_width, header, top, unit):
        self.events, self.row_limit, self.header, self.top, self.unit = events, row_limit, header, top, unit
        self.widths = {"name": name_width, "shapes": shapes_width, "source": source_width}
        self.order = list(events) if sort_by is None else sorted(events, key=lambda e: getattr(e, sort_by),
                                                                 reverse=True)
        self.total = sum(e.self_cpu_time_total for e in events)

    def _time(self, us):
        if self.unit is None:
            return time_text(us)
        return f"{us / {'s': 1e6, 'ms': 1e3, 'us': 1.0}[self.unit]:.3f}{self.unit}"

    def _share(self, us):
        if self.total == 0:
            return "NAN" if us else "--"
        return f"{us * 100 / self.total:.2f}%"

    def columns(self):
        """[(title, width, function of an event)]."""
        events = self.events

        def width(texts, most):
            return min(max([len(t) for t in texts], default=0) + 4, most)
        found = [("Name", width([e.key for e in events], self.widths["name"]),
                  lambda e: self._cut(e.key, self.widths["name"]))]
        found += [(title, 12, get) for title, get in (
            ("Self CPU %", lambda e: self._share(e.self_cpu_time_total)),
            ("Self CPU", lambda e: self._time(e.self_cpu_time_total)),
            ("CPU total %", lambda e: self._share(e.cpu_time_total) if not e.is_async else "0"),
            ("CPU total", lambda e: self._time(e.cpu_time_total)),
            ("CPU time avg", lambda e: self._time(e.cpu_time)))]
        if events._profile_memory:
            found += [("CPU Mem", 12, lambda e: memory_text(e.cpu_memory_usage)),
                      ("Self CPU Mem", 12, lambda e: memory_text(e.self_cpu_memory_usage))]
        found.append(("# of Calls", 12, lambda e: str(e.count)))
        if any(e.input_shapes for e in events):
            w = width([str(e.input_shapes) for e in events], self.widths["shapes"])
            found.append(("Input Shapes", w, lambda e: str(e.input_shapes)[:w]))
        if any(e.stack for e in events):
            w = width([s for e in events for s in e.stack or ()], self.widths["source"])
            found.append(("Source Location", w, lambda e: self._source(e.stack[0], w) if e.stack else ""))
        counts = [e.flops for e in events if e.flops]
        if events._with_flops and counts:
            power = min(max(int(math.log10(min(counts)) / 3), 0), 5)
            title = "Total " + ("FLOPs", "KFLOPs", "MFLOPs", "GFLOPs", "TFLOPs", "PFLOPs")[power]
            found.append((title, max(12, len(title)),
                          lambda e: f"{e.flops / 1000**power:.3f}" if e.flops else "--"))
        return found

    @staticmethod
    def _cut(text, most):
        return text if len(text) < most - 3 else text[:most - 3] + "..."

    @staticmethod
    def _source(text, most):
        return text if len(text) <= most else "..." + text[3 - most:]

    def text(self):
        if not self.events:
            return ""
        columns = self.columns()
        left = {"Source Location"}

        def line(texts):
            return "".join((t.ljust(w) if title in left else t.rjust(w)) + "  "
                           for t, (title, w, _) in zip(texts, columns, strict=True))
        rule = line(["-" * w for _, w, _ in columns])
        out = []
        if self.header is not None:
            out += ["=" * (len(rule) - 2), self.header]
        if self.top:
            out += ["=" * (len(rule) - 2), "This report only display top-level ops statistics"]
        out += [rule, line([title for title, _, _ in columns]), rule]
        rows = 0
        for e in self.order:
            if rows == self.row_limit:
                break
            if self.top and e.cpu_parent is not None:
                continue
            rows += 1
            out.append(line([get(e) for _, _, get in columns]))
            where = next((i for i, c in enumerate(columns) if c[0] == "Source Location"), None)
            if where is not None:
                for frame in (e.stack or [])[1:]:
                    empty = [""] * len(columns)
                    empty[where] = self._source(frame, columns[where][1])
                    out.append(line(empty))
                out.append(line([""] * len(columns)))
        out += [rule, f"Self CPU time total: {self._time(self.total)}", ""]
        return "\n".join(out)


def of_recorder(recorder, use_device=None):
    """The `EventList` of what a recorder wrote down."""
    from .events import FunctionEvent
    from .recorder import BACKWARD
    found = []
    first = recorder.began
    stack = [(raw, None) for raw in reversed(recorder.roots)]
    while stack:
        raw, parent = stack.pop()
        if raw.kind == "cpu_instant_event" and parent is not None:
            continue
        memory = raw.kind == "cpu_instant_event"
        name = "ProfilerStep*" if raw.name.startswith("ProfilerStep#") else raw.name
        backward = raw.scope == BACKWARD or name.startswith("autograd::engine::evaluate_function")
        e = FunctionEvent(
            len(found) + 1, name, 1, (raw.start - first) / 1e3, (raw.end - first) / 1e3, overload_name="",
            fwd_thread=1 if backward or memory else 0, input_shapes=list(raw.shapes),
            stack=list(raw.stack), scope=raw.scope, cpu_memory_usage=raw.allocated, sequence_nr=raw.sequence,
            flops=raw.flops, trace_name=raw.name, concrete_inputs=list(raw.inputs), kwinputs={},
            is_user_annotation=raw.kind == "user_annotation", is_legacy=False, device_type=DeviceType.CPU,
            structured_input_shapes=list(raw.shapes), structured_input_strides=list(raw.strides),
            input_dtypes=list(raw.dtypes), activity_type=raw.kind, use_device=use_device)
        found.append(e)
        if parent is not None:
            e.set_cpu_parent(parent)
            parent.append_cpu_child(e)
        stack.extend((c, e) for c in reversed(raw.children))
    for e in reversed(found):               # inner events come later
        if e.cpu_parent is not None:
            e.cpu_parent.cpu_memory_usage += e.cpu_memory_usage
    return EventList(found, use_device=use_device, profile_memory=recorder.memory, with_flops=recorder.flops,
                     recorder=recorder)
