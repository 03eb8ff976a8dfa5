"""A two-way message channel between a loader and one worker, over a socket pair.

A frame is a 12-byte head (payload length, number of file descriptors) and the payload. Descriptors
travel beside the bytes (SCM_RIGHTS), so shared memory never has a name that could be left behind.
The loader's end never blocks: what the socket doesn't take now waits in `pending`.
"""

import array
import collections
import os
import socket
import struct
import weakref

_HEAD = struct.Struct("<QI")
_CHUNK = 1 << 16
_MAX_FDS = 64
_CAN_PASS_FDS = hasattr(socket, "SCM_RIGHTS") and hasattr(socket.socket, "recvmsg")

# The loader ends open in this process. A forked worker closes the copies it inherits: they would
# hide the loader's death from its other workers.
_loader_ends = weakref.WeakSet()


def socket_pair():
    """``(loader channel, worker channel)``, connected."""
    ours, theirs = socket.socketpair()
    loader = Channel(ours)
    _loader_ends.add(loader)
    return loader, Channel(theirs)


def close_inherited():
    """Close every loader end that fork copied into this process."""
    for channel in list(_loader_ends):
        channel.close()


class ChannelClosed(Exception):
    """The other end is gone."""


class Channel:
    """One end of the pair."""

    def __init__(self, sock):
        self.sock = sock
        self.pending = collections.deque()
        self._inbox = bytearray()
        self._fds = collections.deque()
        sock.setblocking(False)

    # The worker's end is sent to a spawned process; its buffers are empty then.
    def __reduce__(self):
        return Channel, (self.sock,)

    def fileno(self):
        """Descriptor to poll."""
        return self.sock.fileno()

    def close(self):
        """Close this end; safe to repeat."""
        self.sock.close()
        while self._fds:
            os.close(self._fds.popleft())

    # -- sending ------------------------------------------------------------------------------

    def queue(self, payload, fds=()):
        """Line a frame up for `flush`."""
        self.pending.append((memoryview(_HEAD.pack(len(payload), len(fds)) + payload), fds))

    def flush(self):
        """Send what the socket takes; True when nothing is left."""
        while self.pending:
            data, fds = self.pending[0]
            try:
                if fds:
                    rights = array.array("i", fds)
                    sent = self.sock.sendmsg(
                        [data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
                    fds = ()
                else:
                    sent = self.sock.send(data)
            except (BlockingIOError, InterruptedError):
                return False
            except (BrokenPipeError, ConnectionError):
                raise ChannelClosed from None
            if sent == len(data):
                self.pending.popleft()
            else:
                self.pending[0] = (data[sent:], fds)
        return True

    # -- receiving ----------------------------------------------------------------------------

    def receive(self):
        """The next whole frame as ``(payload, fds)``, or None if it isn't here yet.

        Raises ChannelClosed at the end of the stream.
        """
        frame = self._take()
        while frame is None:
            try:
                data = self._read()
            except (BlockingIOError, InterruptedError):
                return None
            except ConnectionError:
                raise ChannelClosed from None
            if not data:
                raise ChannelClosed
            self._inbox += data
            frame = self._take()
        return frame

    def _read(self):
        if not _CAN_PASS_FDS:
            return self.sock.recv(_CHUNK)
        data, ancillary, _, _ = self.sock.recvmsg(_CHUNK, socket.CMSG_SPACE(_MAX_FDS * 4))
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
                self._fds.extend(fds)
        return data

    def _take(self):
        inbox = self._inbox
        if len(inbox) < _HEAD.size:
            return None
        length, nfds = _HEAD.unpack_from(inbox)
        end = _HEAD.size + length
        if len(inbox) < end:
            return None
        payload = bytes(memoryview(inbox)[_HEAD.size:end])
        del inbox[:end]
        return payload, [self._fds.popleft() for _ in range(nfds)]
