"""Memory through which the processes of one machine pass large messages: each has an arena of slots that others map.

The sender copies a piece into a slot and names it in a message; the receiver reads it where it lies and sends it back.
The file has no name, so nothing is left behind when processes die.
"""

import mmap
import os
from collections import deque

from rushlight.tensor.shared import anonymous_file

SLOT = 1 << 20          # bytes of a slot, about what a core's own cache holds
SLOTS = 32


class Arena:
    """Slots of this process. `users` counts for each who has not sent it back."""

    def __init__(self):
        self.fd = anonymous_file(SLOT * SLOTS)
        self.memory = memoryview(mmap.mmap(self.fd, SLOT * SLOTS))
        self.free = deque(range(SLOTS))
        self.users = [None] * SLOTS

    def take(self, peers):
        """A free slot, from now on in the hands of `peers`; None where there is none."""
        if not self.free:
            return None
        slot = self.free.popleft()
        self.users[slot] = set(peers)
        return slot

    def view(self, slot, n):
        """The first `n` bytes of a slot."""
        return self.memory[slot * SLOT:slot * SLOT + n]

    def returned(self, slot, peer):
        """`peer` has sent a slot back."""
        users = self.users[slot]
        if users is not None:
            users.discard(peer)
            if not users:
                self.users[slot] = None
                self.free.append(slot)

    def lost(self, peer):
        """`peer` is gone: nothing comes back from it."""
        for slot, users in enumerate(self.users):
            if users is not None and peer in users:
                self.returned(slot, peer)

    def close(self):
        """Let go of the file; the memory goes when nobody looks at it."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None


def map_arena(fd):
    """The slots of another process, from its file's descriptor (which is closed)."""
    try:
        return memoryview(mmap.mmap(fd, SLOT * SLOTS))
    finally:
        os.close(fd)
