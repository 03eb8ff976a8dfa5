"""``torch.monitor``: events and running statistics, given to whoever registers for them."""

import contextlib
import datetime
import threading
from enum import IntEnum

__all__ = ["Aggregation", "Event", "EventHandlerHandle", "STAT_EVENT", "Stat", "TensorboardEventHandler", "log_event",
           "register_event_handler", "unregister_event_handler"]

STAT_EVENT = "torch.monitor.Stat"


class Aggregation(IntEnum):
    """What a `Stat` makes of the values added: the last one, their mean, number, sum, largest or smallest."""

    VALUE = 0
    MEAN = 2
    COUNT = 3
    SUM = 4
    MAX = 5
    MIN = 6

    def __str__(self):
        return f"Aggregation.{self.name}"


VALUE, MEAN, COUNT, SUM, MAX, MIN = Aggregation


class Event:
    """Something that happened.

    Args:
        name (str): its kind; events of one kind share a name.
        timestamp (datetime.datetime): when.
        data (dict): named numbers, strings and booleans. TypeError for other values.
    """

    def __init__(self, name, timestamp, data):
        if not isinstance(name, str) or not isinstance(timestamp, datetime.datetime):
            raise TypeError("Event(name: str, timestamp: datetime.datetime, data: dict)")
        for key, value in data.items():
            if not isinstance(key, str) or not isinstance(value, (bool, int, float, str)):
                raise TypeError(f"the data of an event are numbers, strings and booleans by name, got {key!r}: "
                                f"{value!r}")
        self.name, self.timestamp, self.data = name, timestamp, dict(data)


class EventHandlerHandle:
    """What `register_event_handler` returns, to take the handler away with."""

    def __init__(self, callback):
        self._callback = callback


_handlers = []
_lock = threading.Lock()


def register_event_handler(callback):
    """Have ``callback(event)`` called for every event from now on; returns a handle."""
    handle = EventHandlerHandle(callback)
    with _lock:
        _handlers.append(handle)
    return handle


def unregister_event_handler(handler):
    """Stop calling the handler of that handle."""
    with _lock, contextlib.suppress(ValueError):
        _handlers.remove(handler)


def log_event(event):
    """Give an event to all handlers, in this thread."""
    for handle in list(_handlers):
        handle._callback(event)


class Stat:
    """Statistics over windows of time, each logged as an event ``torch.monitor.Stat``.

    Args:
        name (str): what is counted; the event's data are called ``name.sum`` and so on.
        aggregations: a sequence of `Aggregation`.
        window_size (datetime.timedelta): length of a window.
        max_samples (int): values a window at most: it is logged with the last of them, and what is added before its
            time is over is left out. Default: any number.

    A window that has ended is logged with the next value added, or when the object goes.
    """

    def __init__(self, name, aggregations, window_size, max_samples=2**63 - 1):
        if not isinstance(window_size, datetime.timedelta):
            raise TypeError(f"Stat(): window_size must be a datetime.timedelta, not {type(window_size).__name__}")
        self._name = name
        self._aggregations = tuple(Aggregation(a) for a in aggregations)
        self._window, self._most = window_size, max_samples
        self._last = dict.fromkeys(self._aggregations, 0.0)
        self._lock = threading.RLock()
        self._begin()

    @property
    def name(self):
        """The name given."""
        return self._name

    @property
    def count(self):
        """Number of values in the window that is open."""
        with self._lock:
            self._end_if_over()
            return self._count

    def add(self, v):
        """Take one more value."""
        v = float(v)
        with self._lock:
            self._end_if_over()
            if self._full:
                return
            self._count += 1
            self._sum += v
            self._value = v
            self._max = v if self._count == 1 else max(self._max, v)
            self._min = v if self._count == 1 else min(self._min, v)
            if self._count >= self._most:
                start = self._start
                self._end()
                self._start, self._full = start, True

    def get(self):
        """The statistics of the window that was logged last: ``{aggregation: number}``; zeros before the first."""
        with self._lock:
            self._end_if_over()
            return dict(self._last)

    def _begin(self):
        self._start, self._full = datetime.datetime.now(), False
        self._count, self._sum, self._value, self._max, self._min = 0, 0.0, 0.0, 0.0, 0.0

    def _end_if_over(self):
        if datetime.datetime.now() - self._start >= self._window:
            if self._count:
                self._end()
            else:
                self._begin()

    def _end(self):
        found = {VALUE: self._value, MEAN: self._sum / self._count, COUNT: float(self._count), SUM: self._sum,
                 MAX: self._max, MIN: self._min}
        self._last = {a: found[a] for a in self._aggregations}
        self._begin()
        log_event(Event(STAT_EVENT, datetime.datetime.now(),
                        {f"{self._name}.{a.name.lower()}": v for a, v in self._last.items()}))

    def __del__(self):
        if getattr(self, "_count", 0):
            self._end()


class TensorboardEventHandler:
    """A handler that writes statistics as scalars to a ``SummaryWriter`` (anything with ``add_scalar``)."""

    def __init__(self, writer):
        self._writer = writer

    def __call__(self, event):
        """Write one event; other kinds than statistics are left out."""
        if event.name == STAT_EVENT:
            for name, value in event.data.items():
                self._writer.add_scalar(name, value, walltime=event.timestamp.timestamp())
