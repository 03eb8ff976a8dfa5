"""`TCPStore`: a store that one process serves to all others over sockets.

A request is ``length, operation, items`` and an item ``length, bytes``; numbers are little-endian. Nothing that comes
in is unpickled. The server is a thread that answers when a request can be answered: waiting is done at its side.
"""

import selectors
import socket
import struct
import threading
import time
from datetime import timedelta

from .constants import STORE_TIMEOUT, seconds
from .errors import DistNetworkError, DistStoreError, QueueEmptyError
from .store import Store, Table, as_bytes

_HEAD, _ITEM, _NUMBER = struct.Struct("<IB"), struct.Struct("<I"), struct.Struct("<q")
(SET, GET, ADD, COMPARE, CHECK, WAIT, DELETE, COUNT, LIST, APPEND, PUSH, POP, QLEN, HELLO) = range(14)
_OK, _LATE, _EMPTY, _INVALID = range(4)
_LARGEST = 1 << 30


def pack(kind, items):
    """One message."""
    body = b"".join([piece for item in items for piece in (_ITEM.pack(len(item)), item)])
    return _HEAD.pack(len(body), kind) + body


def unpack(body):
    """The items of a message's body."""
    items, at = [], 0
    while at < len(body):
        n = _ITEM.unpack_from(body, at)[0]
        items.append(body[at + 4:at + 4 + n])
        at += 4 + n
    return items


class _Client:
    """One connection as the server sees it."""

    def __init__(self, sock):
        self.sock, self.inbox, self.outbox = sock, bytearray(), bytearray()
        self.waiting = None             # (keys that are missing, operation, items, deadline)


class Server:
    """The table and the thread that serves it."""

    def __init__(self, host, port, listening=None):
        if listening is None:
            try:
                listening = socket.create_server((host, port), backlog=1024)
            except OSError as error:
                raise DistNetworkError(f"The server socket has failed to listen on any local network address. "
                                       f"port: {port}, message: {error.strerror or error}") from None
        self.listening, self.table = listening, Table()
        self.port = listening.getsockname()[1]
        self.joined, self.arrival = 0, threading.Condition()
        self._wake, self._waker = socket.socketpair()
        listening.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listening, selectors.EVENT_READ, None)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._clients = set()
        self._thread = threading.Thread(target=self._serve, name="rushlight-store", daemon=True)
        self._thread.start()

    def close(self):
        """End the thread and all connections."""
        try:
            self._waker.send(b"x")
        except OSError:
            return
        if self._thread is not threading.current_thread():
            self._thread.join(2)
        self._waker.close()

    def _serve(self):
        while True:
            ends = [c.waiting[3] for c in self._clients if c.waiting]
            for key, events in self._selector.select(max(0.0, min(ends) - time.monotonic()) if ends else None):
                if key.fileobj is self._wake:
                    for client in [*self._clients]:
                        self._drop(client)
                    self._selector.close()
                    self.listening.close()
                    self._wake.close()
                    return
                if key.data is None:
                    self._accept()
                else:
                    self._exchange(key.data, events)
            now = time.monotonic()
            for client in [c for c in self._clients if c.waiting and c.waiting[3] <= now]:
                missing, client.waiting = client.waiting[0], None
                self._answer(client, _LATE, [key.encode() for key in missing])

    def _accept(self):
        try:
            sock = self.listening.accept()[0]
        except OSError:
            return
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = _Client(sock)
        self._clients.add(client)
        self._selector.register(sock, selectors.EVENT_READ, client)

    def _drop(self, client):
        if client in self._clients:
            self._clients.discard(client)
            self._selector.unregister(client.sock)
            client.sock.close()

    def _exchange(self, client, events):
        try:
            if events & selectors.EVENT_WRITE:
                self._flush(client)
            if events & selectors.EVENT_READ:
                data = client.sock.recv(1 << 18)
                if not data:
                    return self._drop(client)
                client.inbox += data
                self._requests(client)
        except BlockingIOError:
            pass
        except (OSError, struct.error, UnicodeDecodeError, IndexError):
            self._drop(client)

    def _requests(self, client):
        while len(client.inbox) >= _HEAD.size:
            size, kind = _HEAD.unpack_from(client.inbox)
            if size > _LARGEST:
                return self._drop(client)
            if len(client.inbox) < _HEAD.size + size:
                return
            items = unpack(bytes(client.inbox[_HEAD.size:_HEAD.size + size]))
            del client.inbox[:_HEAD.size + size]
            self._do(client, kind, items)

    def _answer(self, client, kind, items=()):
        client.outbox += pack(kind, items)
        self._flush(client)

    def _flush(self, client):
        try:
            while client.outbox:
                del client.outbox[:client.sock.send(client.outbox)]
        except BlockingIOError:
            pass
        except OSError:
            return self._drop(client)
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.outbox else 0)
        if client in self._clients and self._selector.get_key(client.sock).events != wanted:
            self._selector.modify(client.sock, wanted, client)

    def _do(self, client, kind, items):
        table, changed = self.table, True
        if kind in (GET, WAIT, POP):
            keys = [item.decode() for item in items[1:]]
            client.waiting = keys, kind, keys, time.monotonic() + _NUMBER.unpack(items[0])[0] / 1e6
            if self._ready(client):
                return
            if client.waiting[3] <= time.monotonic():
                client.waiting = None
                self._answer(client, _EMPTY if kind == POP else _LATE, [key.encode() for key in keys])
            return
        key = items[0].decode() if items else ""
        answer = ()
        if kind == SET:
            for key, value in zip(items[::2], items[1::2]):
                table.set(key.decode(), value)
        elif kind == ADD:
            try:
                answer = [_NUMBER.pack(table.add(key, _NUMBER.unpack(items[1])[0]))]
            except ValueError as error:
                return self._answer(client, _INVALID, [str(error).encode()])
        elif kind == COMPARE:
            answer = [table.compare_set(key, items[1], items[2])]
        elif kind == APPEND:
            table.append(key, items[1])
        elif kind == PUSH:
            table.push(key, items[1])
        else:
            changed = False
            if kind == CHECK:
                answer = [b"\1" if all(item.decode() in table.values for item in items) else b"\0"]
            elif kind == DELETE:
                answer = [b"\1" if table.delete(key) else b"\0"]
            elif kind == COUNT:
                answer = [_NUMBER.pack(len(table.values))]
            elif kind == LIST:
                answer = [name.encode() for name in table.values]
            elif kind == QLEN:
                answer = [_NUMBER.pack(table.queue_len(key))]
            elif kind == HELLO:
                with self.arrival:
                    self.joined += 1
                    self.arrival.notify_all()
        self._answer(client, _OK, answer)
        if changed:
            for other in [c for c in self._clients if c.waiting]:
                self._ready(other)

    def _ready(self, client):
        """Answer a waiting client if what it waits for is there."""
        _, kind, keys, end = client.waiting
        there = self.table.queues if kind == POP else self.table.values
        missing = [key for key in keys if key not in there]
        if missing:
            client.waiting = missing, kind, keys, end
            return False
        client.waiting = None
        answer = () if kind == WAIT else [self.table.pop(keys[0])] if kind == POP else [there[key] for key in keys]
        self._answer(client, _OK, answer)
        return True


class TCPStore(Store):
    """A store served by the process that calls this with ``is_master=True``.

    Args:
        host_name, port: where the server is; port 0 lets the server choose, see `port`.
        world_size: how many processes use it, which `wait_for_workers` lets the server wait for.
        timeout: how long connecting and waiting may take.
        multi_tenant: use the server that this process has on the port, if it has one.
        master_listen_fd: descriptor of a listening socket for the server.
        use_libuv: taken for compatibility; there is one server, which waits for many sockets at once.

    Raises:
        DistNetworkError: nobody listens there, or the server is gone.
        DistStoreError: waiting took too long.
    """

    _servers = {}

    def __init__(self, host_name, port, world_size=None, is_master=False, timeout=STORE_TIMEOUT, wait_for_workers=True,
                 multi_tenant=False, master_listen_fd=None, use_libuv=True):
        super().__init__()
        self.set_timeout(timeout)
        self.host, self._server, self._lock, self._sock = host_name, None, threading.Lock(), None
        self.libuvBackend = bool(use_libuv)
        if is_master:
            shared = self._servers.get(port) if multi_tenant else None
            if shared is None:
                listening = None if master_listen_fd is None else socket.socket(fileno=master_listen_fd)
                # Loopback names are served on loopback alone, all others where the name may lead to.
                local = host_name in ("localhost", "127.0.0.1")
                shared = Server("127.0.0.1" if local else "", port, listening)
                if multi_tenant:
                    self._servers[shared.port] = shared
                self._server = shared
            port = shared.port
        self.port = port
        self._connect()
        self._call(HELLO)
        if is_master and wait_for_workers and world_size:
            server = shared
            with server.arrival:
                if not server.arrival.wait_for(lambda: server.joined >= world_size, seconds(self.timeout)):
                    raise DistStoreError(f"Timed out after {round(seconds(self.timeout))} seconds waiting for "
                                         f"clients. {server.joined}/{world_size} clients joined.")

    def _connect(self):
        limit = seconds(self.timeout)
        end, pause = time.monotonic() + limit, 0.01
        while True:
            try:
                sock = socket.create_connection((self.host, self.port), max(0.05, end - time.monotonic()))
                if sock.getsockname() == sock.getpeername():
                    sock.close()        # a port that nobody listens at, connected to itself
                    raise ConnectionRefusedError
                break
            except OSError as error:
                if time.monotonic() + pause >= end:
                    raise DistNetworkError(f"The client socket has timed out after {round(limit * 1000)}ms while "
                                           f"trying to connect to ({self.host}, {self.port}).") from error
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(None)
        self._sock = sock

    def local_address(self):
        """The address by which this host reaches the server."""
        return self._sock.getsockname()[0]

    def _receive(self, n):
        data = bytearray(n)
        view = memoryview(data)
        while view:
            got = self._sock.recv_into(view)
            if not got:
                raise DistNetworkError("The store's connection was closed. Did the process that serves it end or "
                                       "crash?")
            view = view[got:]
        return bytes(data)

    def _call(self, kind, *items, wait=None):
        """Send a request, return the answer's items. `wait`: seconds the server may hold the answer back."""
        with self._lock:
            if self._sock is None:
                raise DistNetworkError("The store's connection is closed.")
            try:
                self._sock.settimeout(seconds(self.timeout) + 5 if wait is None else wait + 5)
                self._sock.sendall(pack(kind, items))
                size, status = _HEAD.unpack(self._receive(_HEAD.size))
                answer = unpack(self._receive(size)) if size else []
            except TimeoutError:
                self._close()
                raise DistStoreError("The store did not answer in time.") from None
            except OSError as error:
                self._close()
                raise DistNetworkError(f"The store's connection broke: {error.strerror or error}") from None
            except BaseException:       # an interrupt leaves an answer on its way
                self._close()
                raise
        if status == _LATE:
            raise DistStoreError(f"wait timeout after {round((wait or 0) * 1000)}ms, keys: "
                                 f"{', '.join('/' + item.decode() for item in answer)}")
        if status == _EMPTY:
            raise QueueEmptyError("queue is empty")
        if status == _INVALID:
            raise ValueError(answer[0].decode())
        return answer

    def _waiting(self, kind, keys, limit):
        return self._call(kind, _NUMBER.pack(int(limit * 1e6)), *[key.encode() for key in keys], wait=limit)

    def set(self, key, value):
        self._call(SET, key.encode(), as_bytes(value))

    def multi_set(self, keys, values):
        if len(keys) != len(values):
            raise ValueError(f"multi_set(): {len(keys)} keys for {len(values)} values")
        self._call(SET, *[item for key, value in zip(keys, values) for item in (key.encode(), as_bytes(value))])

    def get(self, key):
        return self._waiting(GET, [key], self._limit(None))[0]

    def multi_get(self, keys):
        return self._waiting(GET, keys, self._limit(None)) if keys else []

    def wait(self, keys, timeout=None):
        if keys:
            self._waiting(WAIT, keys, self._limit(timeout))

    def add(self, key, amount):
        return _NUMBER.unpack(self._call(ADD, key.encode(), _NUMBER.pack(amount))[0])[0]

    def compare_set(self, key, expected_value, desired_value):
        return self._call(COMPARE, key.encode(), as_bytes(expected_value), as_bytes(desired_value))[0]

    def check(self, keys):
        return self._call(CHECK, *[key.encode() for key in keys]) == [b"\1"]

    def delete_key(self, key):
        return self._call(DELETE, key.encode()) == [b"\1"]

    def num_keys(self):
        return _NUMBER.unpack(self._call(COUNT)[0])[0]

    def list_keys(self):
        return [item.decode() for item in self._call(LIST)]

    def append(self, key, value):
        self._call(APPEND, key.encode(), as_bytes(value))

    def has_extended_api(self):
        return True

    def queue_push(self, key, value):
        self._call(PUSH, key.encode(), as_bytes(value))

    def queue_pop(self, key, block=True):
        limit = self._limit(None) if block else 0.0
        try:
            return self._waiting(POP, [key], limit)[0]
        except QueueEmptyError:
            if block:
                raise DistStoreError(f"wait timeout after {round(limit * 1000)}ms, keys: /{key}") from None
            raise

    def queue_len(self, key):
        return _NUMBER.unpack(self._call(QLEN, key.encode())[0])[0]

    def clone(self):
        other = TCPStore(self.host, self.port, None, False, timedelta(seconds=seconds(self.timeout)))
        return other

    def _close(self):
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    def __del__(self):
        if getattr(self, "_sock", None) is not None:
            self._close()
        server = getattr(self, "_server", None)
        if server is not None:
            self._servers.pop(server.port, None)
            server.close()

    def __repr__(self):
        server = f"TCPServer(port={self.port})" if self._server else "<nullptr>"
        return f"TCPStore(client=TCPClient({self.host}:{self.port}), server={server})"
