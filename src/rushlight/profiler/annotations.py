"""Names that users give to stretches of their program, and to the steps of a loop."""

from rushlight.autograd.modes import _Decorator, state


class record_function(_Decorator):
    """Context (or decorator) that shows up as an event `name`; nothing where no profiler runs.

    Args:
        name (str): the event's name. args (str): further text, kept with the event.
    """

    def __init__(self, name, args=None):
        self.name, self.args = name, args
        self._event = self._recorder = None

    def clone(self):
        return record_function(self.name, self.args)

    def __enter__(self):
        r = state.recorder
        if r is not None:
            self._recorder, self._event = r, r.annotate(self.name)
            if self.args is not None:
                self._event.inputs = [self.args]
        return self

    def __exit__(self, *exc):
        if self._event is not None:
            self._recorder.end(self._event)
            self._event = self._recorder = None

    def _call_end_callbacks_on_future(self, fut):
        """End the event when a future is done; returns a future of the same value."""
        event, recorder = self._event, self._recorder
        self._event = self._recorder = None

        def done(f):
            if event is not None:
                recorder.end(event)
            return f.value()
        return fut.then(done)


class KinetoStepTracker:
    """Counts steps by requester; the current step is the furthest of them."""

    _steps = {}
    _current = 0

    @classmethod
    def init_step_count(cls, requester):
        """Begin at the current step."""
        cls._steps[requester] = cls._current

    @classmethod
    def erase_step_count(cls, requester):
        """Forget a requester; whether it was there."""
        return cls._steps.pop(requester, None) is not None

    @classmethod
    def increment_step(cls, requester):
        """Count one more step of `requester`; returns the current step."""
        cls._steps[requester] = cls._steps.get(requester, cls._current) + 1
        cls._current = max(cls._current, *cls._steps.values())
        return cls._current

    @classmethod
    def current_step(cls):
        """The current step."""
        return cls._current


class EnforceUnique:
    """Raises RuntimeError when a key comes a second time."""

    def __init__(self):
        self.seen = set()

    def see(self, *key):
        """Note a key."""
        if key in self.seen:
            raise RuntimeError("duplicate key: " + str(key))
        self.seen.add(key)
