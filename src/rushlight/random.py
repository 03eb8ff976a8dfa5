"""Random number generators and PyTorch's CPU random streams.

A `Generator` is PyTorch's CPU generator: mt19937 with the same seeding, the same words, the same
transforms, and the same 5056-byte state, so seeds and saved states give the same numbers in both
frameworks. The numbers themselves are made in `rushlight.randomness`.
"""

from __future__ import annotations

import os
import struct
from contextlib import contextmanager

import numpy as np

from rushlight.randomness.engine import BUSY, LEFT, NEXT, NORMAL, NORMAL_VALID, STATE_BYTES, N
from rushlight.tensor import watch

__all__ = [
    "DEFAULT_SEED",
    "Generator",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
    "thread_safe_generator",
]

DEFAULT_SEED = 67280421310721

# PyTorch's state: seed, left, seeded, next; 624 words of 8 bytes; three doubles (the second holds
# the kept normal) and a flag; then a float normal and its flag, which its current kernels leave
# unused.
_HEAD, _TAIL = struct.Struct("<QiiQ"), struct.Struct("<dddi4xf?3x")
RNG_STATE_BYTES = _HEAD.size + 8 * N + _TAIL.size


class Generator:
    """A stream of pseudo-random numbers (mt19937).

    Args:
        device: `"cpu"`. A `device` object or its name.

    Raises:
        RuntimeError: for a device without a generator.
    """

    __slots__ = ("_bytes", "_seed", "_device", "__weakref__")

    def __init__(self, device="cpu"):
        name = str(device).partition(":")[0]
        if name != "cpu":
            raise NotImplementedError(
                f"Generator: there is no generator for device {str(device)!r}, only for 'cpu'"
            )
        self._bytes = np.zeros(STATE_BYTES, np.uint8)
        self._device = None
        self.manual_seed(DEFAULT_SEED)

    @property
    def device(self):
        """The device the generator makes numbers for."""
        if self._device is None:
            from rushlight.devices import device

            self._device = device("cpu")
        return self._device

    def _field(self, offset, kind):
        return self._bytes[offset : offset + np.dtype(kind).itemsize].view(kind)

    def _skip(self, words):
        """Draw `words` words and forget them."""
        from rushlight.randomness.kernels import kernel

        kernel("skip")(self._bytes, self._bytes, words, 0.0, 0.0)

    def manual_seed(self, seed):
        """Start the stream that belongs to `seed`, an integer in [-2^63, 2^64); negative ones count
        from 2^64.

        The words depend on the lowest 32 bits only. Returns the generator.
        """
        if type(seed) is not int:
            seed = _as_seed(seed)
        if watch.listener is not None:
            watch.listener.wrote("manual_seed", lambda: self._begin(seed), (), ())
        return self._begin(seed)

    def _begin(self, seed):
        if not -(1 << 63) <= seed < 1 << 64:
            raise ValueError("Overflow when unpacking long long")
        self._seed = seed & 0xFFFFFFFFFFFFFFFF
        _put_words(self._bytes, self._seed & 0xFFFFFFFF)
        self._bytes[LEFT:BUSY] = _NO_WORDS
        return self

    def seed(self):
        """Seed from the operating system's randomness; returns the seed, an integer below 2^64."""
        if watch.listener is not None:
            watch.listener.fail("a generator is seeded by chance")
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._seed

    def initial_seed(self):
        """The seed the stream was started with."""
        return self._seed

    def state_bytes(self):
        """The state in PyTorch's layout, as a uint8 ndarray of 5056 elements."""
        left, following = self._bytes[LEFT : NEXT + 4].view(np.int32).tolist()
        valid = int(self._field(NORMAL_VALID, np.int32)[0])
        normal = float(self._field(NORMAL, np.float64)[0]) if valid else 0.0
        state = np.empty(RNG_STATE_BYTES, np.uint8)
        _HEAD.pack_into(state, 0, self._seed, left, 1, following)
        end = _HEAD.size + 8 * N
        state[_HEAD.size : end].view(np.uint64)[:] = self._bytes[: 4 * N].view(np.uint32)
        _TAIL.pack_into(state, end, 0.0, normal, 0.0, valid, 0.0, False)
        return state

    def set_state_bytes(self, state):
        """Continue from a state in PyTorch's layout, a uint8 ndarray of 5056 elements."""
        if state.size != RNG_STATE_BYTES:
            raise RuntimeError(
                f"Expected a CPUGeneratorImplState of size {RNG_STATE_BYTES} but found the input "
                f"RNG state size to be {state.size}"
            )
        state = np.ascontiguousarray(state)
        data = state.tobytes()
        seed, left, seeded, following = _HEAD.unpack_from(data)
        end = _HEAD.size + 8 * N
        _, normal, _, valid = struct.unpack_from("<dddi", data, end)
        # The kernels take words up to next + left - 1 unchecked.
        if not (seeded and 0 < left <= N and following + left <= N + 1):
            raise RuntimeError("Invalid mt19937 state")
        self._seed = seed
        self._bytes[: 4 * N].view(np.uint32)[:] = state[_HEAD.size : end].view(np.uint64)
        self._bytes[LEFT : NEXT + 4].view(np.int32)[:] = left, following
        self._field(NORMAL, np.float64)[0] = normal if valid else 0.0
        self._field(NORMAL_VALID, np.int32)[0] = bool(valid)

    def get_state(self):
        """The state as a uint8 tensor of 5056 elements; PyTorch's `set_state` takes it as well."""
        state = _to_tensor(self.state_bytes())
        if watch.listener is not None:
            watch.listener.drawn("get_state", lambda: self.state_bytes(), state)
        return state

    def set_state(self, new_state):
        """Continue from `new_state`, a uint8 tensor from `get_state` of either framework."""
        if watch.listener is not None and hasattr(new_state, "_storage"):
            watch.listener.wrote("set_state", lambda state: self.set_state_bytes(state), (), (new_state,))
            self.set_state_bytes(new_state._a)
        else:
            self.set_state_bytes(_to_array(new_state))
        return self

    def clone_state(self):
        """A new generator in the same state."""
        return Generator().graphsafe_set_state(self)

    graphsafe_get_state = clone_state

    def graphsafe_set_state(self, state):
        """Continue from the state of the generator `state`."""
        if watch.listener is not None:
            watch.listener.wrote("set_state", lambda: self._follow(state), (), ())
        return self._follow(state)

    def _follow(self, state):
        self._bytes[:BUSY] = state._bytes[:BUSY]
        self._seed = state._seed
        return self

    def __reduce__(self):
        return _restore, (self.state_bytes().tobytes(),)

    def __repr__(self):
        return f"<torch.Generator device={self.device} seed={self._seed}>"


Generator.__module__ = "torch"


def _restore(data):
    """A generator from the bytes of its state (used by pickle and copy)."""
    gen = Generator()
    gen.set_state_bytes(np.frombuffer(data, np.uint8))
    return gen


def _as_seed(seed):
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise RuntimeError(f"manual_seed expected a long, but got {type(seed).__name__}")
    return seed.__index__()


_NO_WORDS = np.zeros(BUSY - LEFT, np.uint8)     # left is 1: the recurrence's next step comes before the first word
_NO_WORDS[:4].view(np.int32)[0] = 1
_FEW_SEEDS = 4              # who seeds no more often does not wait for a kernel
_seeds = 0


def _put_words(state, seed):
    """Let a state begin with the words of a seed below 2^32."""
    global _seeds
    _seeds += 1
    if _seeds > _FEW_SEEDS:
        from rushlight.randomness.kernels import kernel

        kernel("seed")(state, state, 0, float(seed), 0.0)
    else:
        state[: 4 * N].view(np.uint32)[:] = _seeded_words(seed)


def _seeded_words(seed):
    """The 624 words mt19937 starts from: w[i] = 1812433253 (w[i-1] ^ w[i-1] >> 30) + i mod 2^32."""
    words = [seed]
    for i in range(1, N):
        seed = (1812433253 * (seed ^ seed >> 30) + i) & 0xFFFFFFFF
        words.append(seed)
    return words


def _to_tensor(array):
    from rushlight.tensor.tensor import wrap

    return wrap(array)


def _to_array(state):
    from rushlight.tensor.tensor import Tensor

    if not isinstance(state, Tensor):
        kind = type(state)
        home = "" if kind.__module__ == "builtins" else kind.__module__ + "."
        raise TypeError(f"expected a torch.ByteTensor, but got {home}{kind.__qualname__}")
    if state.dtype.name != "uint8":
        raise TypeError("RNG state must be a torch.ByteTensor")
    return state.numpy().reshape(-1)


default_generator = Generator()

if hasattr(os, "register_at_fork"):

    def _forget_other_threads():
        """In a child process, where nobody else draws any more."""
        default_generator._bytes[BUSY:] = 0

    os.register_at_fork(after_in_child=_forget_other_threads)


def manual_seed(seed):
    """Seed the default generator and return it. See `Generator.manual_seed`."""
    return default_generator.manual_seed(int(seed))


def seed():
    """Seed the default generators from the operating system's randomness; returns the seed."""
    return default_generator.seed()


def initial_seed():
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state():
    """The default generator's state, a uint8 tensor of 5056 elements."""
    return default_generator.get_state()


def set_rng_state(new_state):
    """Continue the default generator from `new_state`."""
    default_generator.set_state(new_state)


@contextmanager
def fork_rng(
    devices=None, enabled=True, _caller="fork_rng", _devices_kw="devices", device_type="cuda"
):
    """Context manager: what is drawn inside leaves the default generators as they were.

    Args:
        devices: accelerator devices whose generators are kept as well; there are none yet, so only
            an empty sequence or None.
        enabled: False makes the manager do nothing.
    """
    if not enabled:
        yield
        return
    if devices:
        raise NotImplementedError(f"{_caller}: generators of {device_type} devices")
    kept = default_generator.clone_state()
    try:
        yield
    finally:
        default_generator.graphsafe_set_state(kept)


def thread_safe_generator():
    """The generator of the data-loading worker thread that asks; None elsewhere, which means the default generator.

    Worker processes have default generators of their own.
    """
    import sys

    info = getattr(sys.modules.get("rushlight.utils.data.worker_info"), "get_worker_info", lambda: None)()
    return info.rng if info is not None and info.worker_method == "thread" else None
