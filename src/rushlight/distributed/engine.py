"""Messages between the processes of a job: sending, receiving, waiting.

Whoever waits moves all messages on (one thread at a time does, the others sleep), so that a blocking call needs no
second thread. `watch` has a thread do it where nobody waits. Receives are matched by peer, context and tag, in order.
"""

import selectors
import socket
import threading
import time
from collections import deque

from .arena import SLOT
from .links import BYE, HEADER, INLINE, RETURNED, SLOTTED, connect

SHARED_FROM = 1 << 14       # payloads from here on go through the arena


class Receive:
    """A message to come. Without a target its payload stays where it arrived, as `data`, until `release`."""

    __slots__ = ("target", "signature", "data", "done", "error", "slot", "link", "source", "rest", "link_rank")

    def __init__(self, target, signature):
        self.target, self.signature = target, signature
        self.done, self.error, self.data, self.slot, self.source, self.rest, self.link_rank = (
            False, None, None, None, None, None, None)


class Sent:
    """A message on its way; done once its memory may change."""

    __slots__ = ("done", "error")

    def __init__(self):
        self.done, self.error = False, None


class Engine:
    """All links of a process."""

    def __init__(self, store, rank, size, timeout):
        self.rank, self.size = rank, size
        self.links, self.arena = connect(store, rank, size, timeout)
        self.changed = threading.Condition(threading.Lock())
        self._driving, self._sleepers = False, 0
        self._anywhere = {}             # (context, tag) -> deque of receives from any peer
        self._watched, self._watcher = [], None
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = socket.socketpair()
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        for link in self.links.values():
            self._selector.register(link.sock, selectors.EVENT_READ, link)
        self.closed = False
        self._returns = max(1, 16 // size)      # slots that are kept back for each peer
        self.failures = 0               # how often messages failed: who waits looks whether it was one of his

    # ------------------------------------------------------------ waiting

    def wait_for(self, ready, deadline):
        """Move messages until ``ready()``, which is called under the lock; False when `deadline` passes before."""
        changed = self.changed
        with changed:
            while not ready():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                if self._driving:
                    self._sleepers += 1
                    changed.wait(left)
                    self._sleepers -= 1
                    continue
                self._driving = True
                changed.release()
                try:
                    self._poll(left)
                finally:
                    changed.acquire()
                    self._driving = False
                    if self._sleepers:
                        changed.notify_all()
        return True

    def _poll(self, timeout):
        for key, events in self._selector.select(timeout):
            link = key.data
            if link is None:
                self._wake_read.recv(4096)
                continue
            if events & selectors.EVENT_WRITE:
                with self.changed:
                    self._flush(link)
            if events & selectors.EVENT_READ and not self.closed:
                try:
                    self._read(link)
                except BlockingIOError:
                    pass
                except OSError as error:
                    self._lose(link, error)

    def watch(self, work):
        """Have a thread move messages until ``work.arrived()``, and call ``work.settle()`` then."""
        with self.changed:
            if work.arrived():
                return
            self._watched.append(work)
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._keep_moving, name="rushlight-messages", daemon=True)
                self._watcher.start()
            elif len(self._watched) == 1:
                self.changed.notify_all()

    def _keep_moving(self):
        def any_arrived():
            return self.closed or any(work.arrived() for work in self._watched)
        while not self.closed:
            try:
                self.wait_for(any_arrived, time.monotonic() + 3600)
            except (OSError, ValueError):
                if self.closed:         # the sockets were closed under it
                    return
                raise
            with self.changed:
                over = [work for work in self._watched if work.arrived()]
                self._watched = [work for work in self._watched if work not in over]
            for work in over:
                work.settle()
            with self.changed:
                while not self._watched and not self.closed:
                    self.changed.wait()

    # ------------------------------------------------------------ sending

    def send(self, peers, context, tag, signature, view, patient=True):
        """Send the bytes of `view`, at most a slot's, to each of `peers`; returns the list of what to wait for.

        Where memory is shared the bytes are copied at once. patient: wait for a slot for a moment.
        """
        n = len(view)
        left = peers
        sent = []
        if n >= SHARED_FROM and self.arena is not None:
            near = [p for p in peers if self.links[p].arena is not None]
            if near:
                slot = self._slot(near, patient)
                if slot is not None:
                    self.arena.view(slot, n)[:] = view
                    head = HEADER.pack(SLOTTED, context, tag, signature, n) + slot.to_bytes(8, "little")
                    with self.changed:
                        for p in near:
                            sent.append(self._write(self.links[p], head))
                    left = [p for p in peers if self.links[p].arena is None]
        if left:
            head = HEADER.pack(INLINE, context, tag, signature, n)
            with self.changed:
                for p in left:
                    link = self.links[p]
                    if n <= 4096:
                        sent.append(self._write(link, b"".join((head, view))))
                    else:
                        self._write(link, head)
                        sent.append(self._write(link, view))
        return [request for request in sent if request is not None]

    def _slot(self, peers, patient):
        with self.changed:
            slot = self.arena.take(peers)
        if slot is None and patient:
            # Peers send slots back whenever they move messages. One that computes meanwhile gets the rest by socket.
            self.wait_for(lambda: self.arena.free, time.monotonic() + 0.05)
            with self.changed:
                slot = self.arena.take(peers)
        return slot

    def _write(self, link, data):
        """Write `data`; returns what to wait for, or None where the socket took all of it. Under the lock."""
        if link.error is not None:
            raise link.error
        if link.returns:
            first, link.returns = bytes(link.returns), bytearray()
            if len(data) >= 4096:
                self._write_all(link, memoryview(first))
            else:
                data = first + bytes(data)
        return self._write_all(link, memoryview(data))

    def _write_all(self, link, data):
        """`_write` of just this."""
        if not link.outbox:
            try:
                n = link.sock.send(data)
            except BlockingIOError:
                n = 0
            except OSError as error:
                # Only writing fails for sure: what the peer sent before it left can still be read.
                raise self._broken(link, error) from None
            if n == len(data):
                return None
            data = data[n:]
            self._selector.modify(link.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, link)
        request = Sent()
        link.outbox.append((data, request))
        return request

    def _flush(self, link):
        """Write what waits, as much as the socket takes. Under the lock."""
        try:
            while link.outbox:
                data, request = link.outbox[0]
                n = link.sock.send(data)
                if n < len(data):
                    link.outbox[0] = data[n:], request
                    return
                link.outbox.popleft()
                request.done = True
            self._selector.modify(link.sock, selectors.EVENT_READ, link)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(link, error)

    # ------------------------------------------------------------ receiving

    def receive(self, peer, context, tag, signature, target=None):
        """Ask for the next message of `peer` under `context` and `tag`, into `target` (a memoryview) if given.

        The message's signature and, with a target, its size have to be those named here.
        """
        request = Receive(target, signature)
        with self.changed:
            self._post(self.links[peer], (context, tag), request)
        return request

    def receive_anywhere(self, peers, context, tag, signature, targets):
        """Ask for a message of several pieces from whichever of `peers` sends one first; returns their requests."""
        requests = [Receive(target, signature) for target in targets]
        key = context, tag
        with self.changed:
            for p in peers:
                link = self.links[p]
                if link.unexpected.get(key):
                    for r in requests:
                        self._post(link, key, r)
                    break
            else:
                requests[0].rest = requests[1:]
                self._anywhere.setdefault(key, deque()).append(requests[0])
        return requests

    def _post(self, link, key, request):
        arrived = link.unexpected.get(key)
        if arrived:
            signature, data = arrived.popleft()
            if not arrived:
                del link.unexpected[key]
            request.source = link.peer
            self._fill(request, signature, data)
        elif link.error is not None:
            request.error, request.done = link.error, True
            self.failures += 1
        else:
            link.posted.setdefault(key, deque()).append(request)

    def _fill(self, request, signature, data):
        """Give `request` a payload that lies in `data`."""
        if request.signature != signature or request.target is not None and len(request.target) != len(data):
            request.error = Mismatch(request.source, request.signature, signature)
            self.failures += 1
        elif request.target is None:
            request.data = data
        elif len(data):
            request.target[:] = data
        request.done = True

    def release(self, request):
        """The payload of a receive without target has been used."""
        request.data = None
        if request.slot is not None:
            slot, request.slot = request.slot, None
            self._return(request.link, slot)

    def _return(self, link, slot):
        """Send a slot back: with the next message, or when some have gathered, as each write wakes the peer."""
        with self.changed:
            link.returns += HEADER.pack(RETURNED, slot, 0, 0, 0)
            if len(link.returns) >= HEADER.size * self._returns:
                try:
                    self._write(link, b"")
                except RuntimeError:
                    pass                # it has no use for the slots any longer

    def cancel(self, requests):
        """Forget receives that nobody waits for any longer."""
        left = {id(r) for r in requests if not r.done}
        with self.changed:
            for link in self.links.values():
                if id(link.body_request) in left:
                    # The rest of its payload has to be read all the same.
                    link.body_request, link.body = None, memoryview(bytearray(len(link.body)))
            for table in [link.posted for link in self.links.values()] + [self._anywhere]:
                for key in [*table]:
                    table[key] = deque(r for r in table[key] if id(r) not in left)
                    if not table[key]:
                        del table[key]

    def _match(self, link, key):
        """The receive that a message from `link` is for, or None. Under the lock."""
        queue = link.posted.get(key)
        if queue:
            request = queue.popleft()
            if not queue:
                del link.posted[key]
            request.source = link.peer
            return request
        queue = self._anywhere.get(key)
        if not queue:
            return None
        request = queue.popleft()
        if not queue:
            del self._anywhere[key]
        request.source = link.peer
        for r in request.rest:
            link.posted.setdefault(key, deque()).append(r)
        return request

    def _read(self, link):
        """Take what the socket has."""
        if link.body is not None:
            n = link.sock.recv_into(link.body)
            if not n:
                return self._lose(link, None)
            link.body = link.body[n:]
            if not link.body:
                self._body_done(link)
            return
        n = link.sock.recv_into(link.buffer[link.end:])
        if not n:
            return self._lose(link, None)
        link.end += n
        buffer, at, end = link.buffer, link.start, link.end
        while end - at >= HEADER.size:
            kind, context, tag, signature, size = HEADER.unpack_from(buffer, at)
            body = at + HEADER.size
            if kind == SLOTTED:
                if end - body < 8:
                    break
                self._slotted(link, (context, tag), signature, int.from_bytes(buffer[body:body + 8], "little"), size)
                at = body + 8
            elif kind == RETURNED:
                with self.changed:
                    self.arena.returned(context, link.peer)
                at = body
            elif kind == BYE:
                link.leaving = True
                at = body
            elif end - body >= size:
                self._whole(link, (context, tag), signature, buffer[body:body + size])
                at = body + size
            else:
                self._begin_body(link, (context, tag), signature, size, buffer[body:end])
                at = end
                break
        if at == end:
            at = end = 0
        elif end == len(buffer):
            buffer[:end - at] = bytes(buffer[at:end])
            at, end = 0, end - at
        link.start, link.end = at, end

    def _slotted(self, link, key, signature, slot, size):
        data = link.arena[slot * SLOT:slot * SLOT + size]
        with self.changed:
            request = self._match(link, key)
            if request is None:         # keep a copy, and give the slot back for others
                link.unexpected.setdefault(key, deque()).append((signature, memoryview(bytes(data))))
            elif request.target is None and request.signature == signature:
                request.data, request.slot, request.link, request.done = data, slot, link, True
                return
        if request is not None:
            self._fill(request, signature, data)
        self._return(link, slot)

    def _whole(self, link, key, signature, data):
        with self.changed:
            request = self._match(link, key)
            if request is None:
                link.unexpected.setdefault(key, deque()).append((signature, memoryview(bytes(data))))
            else:
                self._fill(request, signature, data if request.target is not None else memoryview(bytes(data)))

    def _begin_body(self, link, key, signature, size, start):
        """A payload of which only the start is there."""
        with self.changed:
            request = self._match(link, key)
            fits = request is not None and request.signature == signature and (
                request.target is None or len(request.target) == size)
            place = request.target if fits and request.target is not None else memoryview(bytearray(size))
            if request is None:
                link.body_request = key, signature, place
            elif fits:
                link.body_request = request
                if request.target is None:
                    request.data = place
            else:
                link.body_request = None
                self._fill(request, signature, place)
            place[:len(start)] = start
            link.body = place[len(start):]

    def _body_done(self, link):
        with self.changed:
            request, link.body, link.body_request = link.body_request, None, None
            if type(request) is tuple:
                key, signature, data = request
                waiting = self._match(link, key)        # somebody may have asked for it meanwhile
                if waiting is None:
                    link.unexpected.setdefault(key, deque()).append((signature, data))
                else:
                    self._fill(waiting, signature, data)
            elif request is not None:
                request.done = True

    # ------------------------------------------------------------ ends

    def _broken(self, link, error):
        reason = f" ({error.strerror or error})" if error is not None else ""
        return RuntimeError(f"Connection closed by peer: rank {link.peer} ended or crashed{reason}. Look at its output "
                            f"for the cause.")

    def _lose(self, link, error):
        with self.changed:
            self._lost(link, error)

    def _lost(self, link, error):
        """The peer is gone: what is wanted from it, or waits for it, fails. Under the lock."""
        link.error = link.error or self._broken(link, error)
        self.failures += 1
        try:
            self._selector.unregister(link.sock)
        except KeyError:
            return
        for queue in link.posted.values():
            for request in queue:
                request.error, request.done = link.error, True
        link.posted.clear()
        if isinstance(link.body_request, Receive):
            link.body_request.error, link.body_request.done = link.error, True
        for _, request in link.outbox:
            request.error, request.done = link.error, True
        link.outbox.clear()
        if self.arena is not None:
            self.arena.lost(link.peer)
        if all(other.error is not None for other in self.links.values()):
            for queue in self._anywhere.values():
                for request in queue:
                    for r in (request, *(request.rest or ())):
                        r.error, r.done = link.error, True
            self._anywhere.clear()

    def close(self, linger=5.0):
        """Write what is left to write (for `linger` seconds at most) and close all connections."""
        self.wait_for(lambda: not any(link.outbox for link in self.links.values()), time.monotonic() + linger)
        with self.changed:
            self.closed = True
            self._wake_write.send(b"x")
            self.changed.notify_all()
            for link in self.links.values():
                if link.error is None:
                    try:
                        link.sock.send(HEADER.pack(BYE, 0, 0, 0, 0))
                    except OSError:
                        pass
                    link.error = RuntimeError("the process group was destroyed")
                    try:
                        self._selector.unregister(link.sock)
                    except (KeyError, ValueError):
                        pass
                link.sock.close()
            self._watched = []
        if self._watcher is not None and self._watcher is not threading.current_thread():
            self._watcher.join(1)
        self._selector.close()
        self._wake_read.close()
        self._wake_write.close()
        if self.arena is not None:
            self.arena.close()


class Mismatch(RuntimeError):
    """A message was not what was expected; the signatures tell what each side did."""

    def __init__(self, peer, ours, theirs):
        super().__init__(peer, ours, theirs)
        self.peer, self.ours, self.theirs = peer, ours, theirs
