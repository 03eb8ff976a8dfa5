"""Events and running statistics."""

import datetime
import time

import pytest

from rushlight import monitor

DAY = datetime.timedelta(days=1)


@pytest.fixture
def events():
    found = []
    handle = monitor.register_event_handler(found.append)
    yield found
    monitor.unregister_event_handler(handle)


def test_events_reach_handlers_until_they_leave():
    found = []
    handle = monitor.register_event_handler(found.append)
    event = monitor.Event("epoch", datetime.datetime.now(), {"loss": 0.5, "name": "a", "done": True})
    monitor.log_event(event)
    monitor.unregister_event_handler(handle)
    monitor.log_event(event)
    assert found == [event]
    with pytest.raises(TypeError):
        monitor.Event("epoch", datetime.datetime.now(), {"loss": [1]})


def test_a_window_is_logged_with_the_next_value(events):
    s = monitor.Stat("t", tuple(monitor.Aggregation), datetime.timedelta(milliseconds=1))
    s.add(2)
    s.add(3.5)
    time.sleep(0.005)
    s.add(1)
    assert [e.name for e in events] == ["torch.monitor.Stat"]
    assert events[0].data == {"t.value": 3.5, "t.mean": 2.75, "t.count": 2, "t.sum": 5.5, "t.max": 3.5, "t.min": 2}
    assert s.get()[monitor.Aggregation.SUM] == 5.5
    s.add(0)


def test_a_full_window_takes_no_more(events):
    s = monitor.Stat("t", (monitor.Aggregation.SUM,), DAY, 2)
    s.add(1)
    assert s.count == 1 and not events
    s.add(2)
    s.add(5)
    assert s.count == 0 and [e.data for e in events] == [{"t.sum": 3}]
    del s
    assert len(events) == 1


def test_what_is_left_is_logged_at_the_end(events):
    s = monitor.Stat("t", (monitor.Aggregation.COUNT,), DAY)
    s.add(1)
    del s
    assert [e.data for e in events] == [{"t.count": 1}]


def test_tensorboard_handler(events):
    class Writer:
        def __init__(self):
            self.seen = []

        def add_scalar(self, name, value, walltime):
            self.seen.append((name, value))

    writer = Writer()
    handler = monitor.TensorboardEventHandler(writer)
    handler(monitor.Event("torch.monitor.Stat", datetime.datetime.now(), {"a.sum": 3.0}))
    handler(monitor.Event("other", datetime.datetime.now(), {"b": 1.0}))
    assert writer.seen == [("a.sum", 3.0)]
