"""Results that come later: a value or an exception that another thread sets."""

import threading

__all__ = ["Future", "collect_all", "fork", "wait", "wait_all"]


class Future:
    """A result to wait for. `devices` are those its tensors may be on; the CPU needs no mention."""

    def __init__(self, *, devices=None):
        self._lock = threading.Condition()
        self._done, self._value, self._error, self._callbacks = False, None, None, []

    def done(self):
        """Whether the result is there."""
        return self._done

    def wait(self):
        """The result, once it is there; raises the exception that was set instead."""
        with self._lock:
            self._lock.wait_for(lambda: self._done)
        return self.value()

    def value(self):
        """The result; RuntimeError while it is not there, or the exception that was set."""
        if not self._done:
            raise RuntimeError("Future.value(): the result is not there yet; wait() for it")
        if self._error is not None:
            raise self._error
        return self._value

    def _finish(self, value, error):
        with self._lock:
            if self._done:
                raise RuntimeError("Attempting to mark a completed Future as complete again. Note that a Future can "
                                   "only be marked completed once.")
            self._value, self._error, self._done = value, error, True
            callbacks, self._callbacks = self._callbacks, []
            self._lock.notify_all()
        for callback in callbacks:
            callback(self)

    def set_result(self, result):
        """Give the result; RuntimeError where there is one."""
        self._finish(result, None)

    def set_exception(self, result):
        """Give an exception in the place of a result."""
        if not isinstance(result, Exception):
            raise AssertionError(f"{result} is of type {type(result)}, not an Exception.")
        self._finish(None, result)

    def add_done_callback(self, callback):
        """Call ``callback(self)`` once the result is there, at once where it is."""
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self)

    def then(self, callback):
        """The future of ``callback(self)``, which runs once the result is there."""
        after = Future()

        def run(future):
            try:
                result = callback(future)
            except Exception as error:
                wrapped = RuntimeError(f"Got the following error when running the callback: "
                                       f"{type(error).__name__}: {error}")
                wrapped.__cause__ = error
                after.set_exception(wrapped)
            else:
                after.set_result(result)
        self.add_done_callback(run)
        return after


def collect_all(futures):
    """The future of the list `futures`, done when all of them are."""
    futures = list(futures)
    whole, lock = Future(), threading.Lock()
    left = [len(futures)]

    def one(_):
        with lock:
            left[0] -= 1
            last = not left[0]
        if last:
            whole.set_result(futures)
    if not futures:
        whole.set_result(futures)
    for f in futures:
        f.add_done_callback(one)
    return whole


def wait_all(futures):
    """The results of all futures; raises the first exception among them."""
    return [f.wait() for f in collect_all(futures).wait()]


def fork(func, *args, **kwargs):
    """A future of ``func(*args, **kwargs)``, which runs at once in this thread; an exception is kept for `wait`."""
    future = Future()
    try:
        result = func(*args, **kwargs)
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(result)
    return future


def wait(future):
    """The result of `future`, once it is there."""
    return future.wait()
