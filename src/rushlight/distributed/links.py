"""Connections between processes: how they are made, and what runs over them.

A message is a header, ``kind, context, tag, signature, bytes``, and a payload. The payload follows, or lies in a slot
of the sender's arena. Processes of one machine talk through a Unix socket with a random name and map each other's
arenas; others through TCP. Both ends prove that they know the job's token, which travels through the store.
"""

import json
import os
import secrets
import socket
import struct
import time
from collections import deque

from .arena import Arena, map_arena
from .errors import DistBackendError, DistNetworkError

HEADER = struct.Struct("<B7xQQQQ")
INLINE, SLOTTED, RETURNED, BYE = range(4)
BUFFER = 1 << 16


class Link:
    """The connection with one peer."""

    def __init__(self, sock, peer, arena=None):
        self.sock, self.peer, self.arena = sock, peer, arena        # arena: the peer's, if we share memory
        self.outbox = deque()           # (memoryview, request or None), what is left to write
        self.buffer = memoryview(bytearray(BUFFER))
        self.start = self.end = 0       # the part of the buffer that is not taken apart yet
        self.body = self.body_request = None        # where a payload larger than the buffer goes, and whose it is
        self.posted, self.unexpected = {}, {}       # (context, tag) -> deque of receives, of arrived messages
        self.returns = bytearray()      # messages that send slots back, for the next write
        self.error = None
        self.leaving = False            # the peer said goodbye


def host_identity():
    """Text that is the same for processes which can reach each other by Unix sockets."""
    if os.environ.get("RUSHLIGHT_DISTRIBUTED_TRANSPORT", "").lower() == "tcp":
        return secrets.token_hex(8)
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return f"{file.read().strip()}-{os.stat('/proc/self/ns/net').st_ino}"
    except OSError:
        return secrets.token_hex(8)


def own_address(store):
    """The address others may reach this process by: that of the interface the store is reached through."""
    named = os.environ.get("GLOO_SOCKET_IFNAME")
    if named:
        import fcntl
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            for name in named.split(","):
                request = struct.pack("256s", name.strip().encode()[:15])
                try:
                    return socket.inet_ntoa(fcntl.ioctl(s.fileno(), 0x8915, request)[20:24])    # SIOCGIFADDR
                except OSError:
                    continue
        raise DistNetworkError(f"GLOO_SOCKET_IFNAME: no interface {named!r} with an address")
    while hasattr(store, "underlying_store"):
        store = store.underlying_store
    if hasattr(store, "local_address"):
        return store.local_address()
    try:
        address = socket.gethostbyname(socket.gethostname())
        with socket.socket() as s:
            s.bind((address, 0))
        return address
    except OSError:
        return "127.0.0.1"


class _Meeting:
    """Connects one process with all others of a job through a store."""

    def __init__(self, store, rank, size, timeout):
        self.store, self.rank, self.size = store, rank, size
        self.limit, self.deadline = timeout, time.monotonic() + timeout
        self.links, self.arena = {}, None

    def connect(self):
        store, rank = self.store, self.rank
        store.set_timeout(self.limit)
        token = store.compare_set("token", "", secrets.token_hex(16))
        self.token = bytes(token)
        host = host_identity()
        name = "\0rushlight-" + secrets.token_hex(16)
        address = own_address(store)
        listeners = []
        try:
            tcp = socket.create_server((address, 0), backlog=self.size)
            listeners.append(tcp)
            local = None
            if not host.isalnum():
                local = socket.socket(socket.AF_UNIX)
                listeners.append(local)
                local.bind(name)
                local.listen(self.size)
            own = {"host": host, "unix": name, "address": address, "port": tcp.getsockname()[1]}
            store.set(f"rank{rank}", json.dumps(own))
            keys = [f"rank{i}" for i in range(self.size)]
            others = [json.loads(text) for text in store.multi_get(keys)] if self.size > 1 else [own]
            near = [i for i, other in enumerate(others) if other["host"] == host and i != rank]
            if near:
                self.arena = Arena()
            for peer in range(rank):
                other = others[peer]
                if peer in near:
                    sock = socket.socket(socket.AF_UNIX)
                    target = other["unix"]
                else:
                    sock = socket.socket(socket.AF_INET6 if ":" in other["address"] else socket.AF_INET)
                    target = other["address"], other["port"]
                sock.settimeout(self._left())
                sock.connect(target)
                self._greet(sock, peer in near)
            self._accept(tcp, local, near)
        except TimeoutError:
            raise DistNetworkError(f"Timed out after {round(self.limit * 1000)}ms while connecting rank {rank} with "
                                   f"the others") from None
        except OSError as error:
            raise DistNetworkError(f"rank {rank} could not connect with the others: {error}") from error
        finally:
            for s in listeners:
                s.close()
        return self.links, self.arena

    def _left(self):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _accept(self, tcp, local, near):
        waiting = {False: sum(p not in near for p in range(self.rank + 1, self.size)),
                   True: sum(p > self.rank for p in near)}
        for is_local, listener in ((False, tcp), (True, local)):
            while waiting[is_local]:
                listener.settimeout(self._left())
                sock = listener.accept()[0]
                try:
                    self._greet(sock, is_local)
                except DistBackendError:
                    sock.close()        # a stranger
                    continue
                waiting[is_local] -= 1

    def _greet(self, sock, is_local):
        """Exchange token and rank, and arenas with a process of this machine."""
        sock.settimeout(self._left())
        hello = self.token + struct.pack("<I", self.rank)
        if is_local:
            socket.send_fds(sock, [hello], [self.arena.fd])
            data, fds, _, _ = socket.recv_fds(sock, len(hello), 1)
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(hello)
            data, fds = b"", []
        while len(data) < len(hello):
            more = sock.recv(len(hello) - len(data))
            if not more:
                raise DistNetworkError("a connection was closed while processes met")
            data += more
        if not secrets.compare_digest(data[:-4], self.token):
            for fd in fds:
                os.close(fd)
            raise DistBackendError("a process with another token connected")
        peer = struct.unpack("<I", data[-4:])[0]
        sock.setblocking(False)
        self.links[peer] = Link(sock, peer, map_arena(fds[0]) if fds else None)


def connect(store, rank, size, timeout):
    """Links to all other ranks by rank, and this process's arena (None where nobody shares memory with it)."""
    return _Meeting(store, rank, size, timeout).connect()
