"""`FileStore`: a store that is a file, for processes that see one file system."""

import os
import struct
import time

from .errors import DistStoreError
from .store import Store, Table, as_bytes

_RECORD = struct.Struct("<BII")         # what is done, bytes of the key, bytes of the value
_SET, _DELETE = 0, 1


class FileStore(Store):
    """A store on the file `file_name`, to which every change is appended under a lock.

    Args:
        world_size: how many processes use it; the last of them to let go removes the file. -1: nobody does.
    """

    def __init__(self, file_name, world_size=-1):
        super().__init__()
        import fcntl
        self._lock = fcntl
        self.path, self._world_size = file_name, world_size
        self._table, self._read = Table(), 0
        self._users = self._change(lambda: self._count("users", 1)) if world_size > 0 else None

    def _count(self, key, amount):
        number = int(self._table.values.get("\0" + key, b"0")) + amount
        return self._record(_SET, "\0" + key, b"%d" % number), number

    @staticmethod
    def _record(kind, key, value):
        key = key.encode()
        return _RECORD.pack(kind, len(key), len(value)) + key + value

    def _catch_up(self, file):
        """Bring the table up to what the file says."""
        file.seek(self._read)
        data = file.read()
        at, values = 0, self._table.values
        while at + _RECORD.size <= len(data):
            kind, n, m = _RECORD.unpack_from(data, at)
            start = at + _RECORD.size
            key, value = data[start:start + n].decode(), data[start + n:start + n + m]
            if kind == _SET:
                values[key] = value
            else:
                values.pop(key, None)
            at = start + n + m
        self._read += at

    def _change(self, compute):
        """Append the record that ``compute()`` gives once the table is up to date; its second result is returned."""
        with open(self.path, "a+b") as file:
            self._lock.flock(file, self._lock.LOCK_EX)
            self._catch_up(file)
            record, result = compute()
            if record:
                file.seek(0, os.SEEK_END)
                file.write(record)
                file.flush()
                self._catch_up(file)
            return result

    def _look(self):
        if os.path.exists(self.path):
            with open(self.path, "rb") as file:
                self._lock.flock(file, self._lock.LOCK_SH)
                self._catch_up(file)
        return self._table.values

    def _until(self, keys, timeout=None):
        end, pause = time.monotonic() + self._limit(timeout), 0.0005
        while True:
            values = self._look()
            missing = [key for key in keys if key not in values]
            if not missing:
                return values
            if time.monotonic() >= end:
                raise DistStoreError(f"Timeout waiting for key: {missing[0]} after "
                                     f"{round(self._limit(timeout) * 1000)} ms")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.01)

    def set(self, key, value):
        data = as_bytes(value)
        self._change(lambda: (self._record(_SET, key, data), None))

    def get(self, key):
        return self._until([key])[key]

    def add(self, key, amount):
        def compute():
            scratch = Table()
            scratch.values = dict(self._table.values)
            number = scratch.add(key, amount)
            return self._record(_SET, key, b"%d" % number), number
        return self._change(compute)

    def compare_set(self, key, expected_value, desired_value):
        expected, desired = as_bytes(expected_value), as_bytes(desired_value)

        def compute():
            scratch = Table()
            scratch.values = dict(self._table.values)
            result = scratch.compare_set(key, expected, desired)
            changed = scratch.values.get(key) != self._table.values.get(key)
            return self._record(_SET, key, desired) if changed else b"", result
        return self._change(compute)

    def append(self, key, value):
        data = as_bytes(value)
        self._change(lambda: (self._record(_SET, key, self._table.values.get(key, b"") + data), None))

    def check(self, keys):
        values = self._look()
        return all(key in values for key in keys)

    def wait(self, keys, timeout=None):
        self._until(keys, timeout)

    def delete_key(self, key):
        return self._change(lambda: (self._record(_DELETE, key, b""), key in self._table.values)
                            if key in self._table.values else (b"", False))

    def list_keys(self):
        return [key for key in self._look() if key[0] != "\0"]

    def num_keys(self):
        return len(self.list_keys())

    def clone(self):
        return FileStore(self.path, -1)

    def __del__(self):
        if getattr(self, "_users", None) is None:
            return
        try:
            if self._change(lambda: self._count("gone", 1)) >= self._world_size:
                os.remove(self.path)
        except OSError:
            pass                        # somebody removed it before
