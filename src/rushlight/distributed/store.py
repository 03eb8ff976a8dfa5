"""Stores: tables of keys and bytes that the processes of a job share, to find and to wait for each other."""

import threading
from datetime import timedelta

from .constants import STORE_TIMEOUT, seconds
from .errors import DistStoreError, QueueEmptyError


def as_bytes(value):
    """A value of a store as bytes; TypeError unless it is text or bytes."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"a store holds str or bytes, got {type(value).__name__}")


def as_number(data):
    """The integer that `add` keeps as decimal text; ValueError for other values."""
    try:
        return int(data)
    except ValueError:
        raise ValueError(f"Store.add(): the value {data[:40]!r} of this key is no integer") from None


class Table:
    """Keys, values and queues with the rules of a store: no locks, no waiting. Values are bytes."""

    def __init__(self):
        self.values, self.queues = {}, {}

    def set(self, key, value):
        self.values[key] = value

    def add(self, key, amount):
        number = as_number(self.values.get(key, b"0")) + amount
        self.values[key] = b"%d" % number
        return number

    def compare_set(self, key, expected, desired):
        """The value after the exchange; `expected` where the key was missing and not expected to be."""
        old = self.values.get(key)
        if old is None:
            if expected:
                return expected
        elif old != expected:
            return old
        self.values[key] = desired
        return desired

    def append(self, key, value):
        self.values[key] = self.values.get(key, b"") + value

    def delete(self, key):
        return self.values.pop(key, None) is not None

    def push(self, key, value):
        self.queues.setdefault(key, []).append(value)

    def pop(self, key):
        """The oldest value of the queue `key`; KeyError where there is none."""
        queue = self.queues[key]
        value = queue.pop(0)
        if not queue:
            del self.queues[key]
        return value

    def queue_len(self, key):
        return len(self.queues.get(key, ()))


class Store:
    """What all stores have in common. Values are bytes, text is encoded; keys are text.

    A store of one's own overrides `set`, `get`, `add`, `check`, `wait` and what else it can do.
    """

    def __init__(self):
        self._timeout = STORE_TIMEOUT

    @property
    def timeout(self):
        """How long waiting may take, a timedelta."""
        return self._timeout

    def set_timeout(self, timeout):
        """Have waiting take `timeout` (a timedelta) at most."""
        seconds(timeout)
        self._timeout = timeout if isinstance(timeout, timedelta) else timedelta(seconds=timeout)

    def _limit(self, timeout):
        return seconds(self.timeout if timeout is None else timeout)

    def _missing(self, name):
        return NotImplementedError(f"{type(self).__name__}.{name}")

    def set(self, key, value):
        """Keep `value` under `key`."""
        raise self._missing("set")

    def get(self, key):
        """The value of `key` as bytes, once it is there; DistStoreError when that takes longer than the timeout."""
        raise self._missing("get")

    def add(self, key, amount):
        """Raise the number under `key` (0 where there is none) by `amount`; returns the sum."""
        raise self._missing("add")

    def compare_set(self, key, expected_value, desired_value):
        """Exchange the value of `key` if it is `expected_value`, or missing and "" is expected; returns what holds."""
        raise self._missing("compare_set")

    def check(self, keys):
        """Whether all `keys` are there."""
        raise self._missing("check")

    def wait(self, keys, timeout=None):
        """Return once all `keys` are there; DistStoreError after `timeout`."""
        raise self._missing("wait")

    def delete_key(self, key):
        """Forget `key`; whether it was there."""
        raise self._missing("delete_key")

    def num_keys(self):
        """How many keys there are."""
        raise self._missing("num_keys")

    def list_keys(self):
        """All keys."""
        raise self._missing("list_keys")

    def append(self, key, value):
        """Put `value` behind what is under `key`."""
        raise self._missing("append")

    def multi_get(self, keys):
        """The values of several keys, once all are there."""
        return [self.get(key) for key in keys]

    def multi_set(self, keys, values):
        """Keep several values."""
        if len(keys) != len(values):
            raise ValueError(f"multi_set(): {len(keys)} keys for {len(values)} values")
        for key, value in zip(keys, values):
            self.set(key, value)

    def has_extended_api(self):
        """Whether `append`, `multi_get` and `multi_set` are single operations here."""
        return False

    def queue_push(self, key, value):
        """Put `value` at the end of the queue `key`."""
        raise self._missing("queue_push")

    def queue_pop(self, key, block=True):
        """Take the first value of the queue `key`; waits for one, or raises QueueEmptyError without `block`."""
        raise self._missing("queue_pop")

    def queue_len(self, key):
        """How many values are in the queue `key`."""
        raise self._missing("queue_len")

    def clone(self):
        """A store on the same keys with a connection of its own."""
        raise self._missing("clone")

    def barrier(self, key, world_size, timeout=None):
        """Return once `world_size` callers have come here with `key`."""
        if self.add(f"{key}/arrived", 1) == world_size:
            self.set(f"{key}/all", "1")
        self.wait([f"{key}/all"], self.timeout if timeout is None else timeout)


class HashStore(Store):
    """A store within one process, for its threads."""

    def __init__(self):
        super().__init__()
        self._table, self._changed = Table(), threading.Condition()

    def _until(self, there, timeout=None):
        if not self._changed.wait_for(there, self._limit(timeout)):
            raise DistStoreError("Wait timeout")

    def set(self, key, value):
        with self._changed:
            self._table.set(key, as_bytes(value))
            self._changed.notify_all()

    def get(self, key):
        with self._changed:
            self._until(lambda: key in self._table.values)
            return self._table.values[key]

    def add(self, key, amount):
        with self._changed:
            number = self._table.add(key, amount)
            self._changed.notify_all()
            return number

    def compare_set(self, key, expected_value, desired_value):
        with self._changed:
            value = self._table.compare_set(key, as_bytes(expected_value), as_bytes(desired_value))
            self._changed.notify_all()
            return value

    def check(self, keys):
        with self._changed:
            return all(key in self._table.values for key in keys)

    def wait(self, keys, timeout=None):
        with self._changed:
            self._until(lambda: all(key in self._table.values for key in keys), timeout)

    def delete_key(self, key):
        with self._changed:
            return self._table.delete(key)

    def num_keys(self):
        with self._changed:
            return len(self._table.values)

    def list_keys(self):
        with self._changed:
            return list(self._table.values)

    def append(self, key, value):
        with self._changed:
            self._table.append(key, as_bytes(value))
            self._changed.notify_all()

    def has_extended_api(self):
        return True

    def queue_push(self, key, value):
        with self._changed:
            self._table.push(key, as_bytes(value))
            self._changed.notify_all()

    def queue_pop(self, key, block=True):
        with self._changed:
            if block:
                self._until(lambda: key in self._table.queues)
            elif key not in self._table.queues:
                raise QueueEmptyError("queue is empty")
            return self._table.pop(key)

    def queue_len(self, key):
        with self._changed:
            return self._table.queue_len(key)

    def clone(self):
        return self


class PrefixStore(Store):
    """Another store, with ``prefix/`` in front of every key."""

    def __init__(self, prefix, store):
        if not isinstance(store, Store):
            raise TypeError(f"PrefixStore(): expected a Store, got {type(store).__name__}")
        self.prefix, self.underlying_store = prefix, store

    @property
    def timeout(self):
        return self.underlying_store.timeout

    def set_timeout(self, timeout):
        self.underlying_store.set_timeout(timeout)

    @property
    def _underlying_non_prefix_store(self):
        store = self.underlying_store
        return store._underlying_non_prefix_store if isinstance(store, PrefixStore) else store

    def _key(self, key):
        return f"{self.prefix}/{key}"

    def set(self, key, value):
        self.underlying_store.set(self._key(key), value)

    def get(self, key):
        return self.underlying_store.get(self._key(key))

    def add(self, key, amount):
        return self.underlying_store.add(self._key(key), amount)

    def compare_set(self, key, expected_value, desired_value):
        return self.underlying_store.compare_set(self._key(key), expected_value, desired_value)

    def check(self, keys):
        return self.underlying_store.check([self._key(key) for key in keys])

    def wait(self, keys, timeout=None):
        self.underlying_store.wait([self._key(key) for key in keys], self.timeout if timeout is None else timeout)

    def delete_key(self, key):
        return self.underlying_store.delete_key(self._key(key))

    def num_keys(self):
        return self.underlying_store.num_keys()

    def list_keys(self):
        start = self._key("")
        return [key[len(start):] for key in self.underlying_store.list_keys() if key.startswith(start)]

    def append(self, key, value):
        self.underlying_store.append(self._key(key), value)

    def multi_get(self, keys):
        return self.underlying_store.multi_get([self._key(key) for key in keys])

    def multi_set(self, keys, values):
        self.underlying_store.multi_set([self._key(key) for key in keys], values)

    def has_extended_api(self):
        return self.underlying_store.has_extended_api()

    def queue_push(self, key, value):
        self.underlying_store.queue_push(self._key(key), value)

    def queue_pop(self, key, block=True):
        return self.underlying_store.queue_pop(self._key(key), block)

    def queue_len(self, key):
        return self.underlying_store.queue_len(self._key(key))

    def clone(self):
        return PrefixStore(self.prefix, self.underlying_store.clone())
