"""What is switched on in this thread: gradient recording, inference, and rarer special modes.

Every dispatch reads ``state.grad`` and ``state.special``; the latter is a count of active things that
need the long way round (saved-tensor hooks, anomaly mode, function modes, autocast, capture).
"""

import functools
import threading
from threading import get_ident


class _State(threading.local):
    """Per-thread modes; class attributes are the defaults of a new thread."""

    grad = True
    inference = False
    special = 0             # number of active modes that dispatch must look into
    saved_hooks = ()        # stack of (pack, unpack)
    saved_hooks_off = None  # message, while saved-tensor hooks are forbidden
    anomaly = False
    anomaly_nan = True
    function_modes = ()     # stack of TorchFunctionMode
    autocast = None         # active autocast settings
    recorder = None         # who writes down what runs, while a profiler is on
    levels = ()             # active transforms (`func`), outermost first
    backward = None         # the backward pass that runs, while somebody may ask about it
    threads = True          # whether backward may use threads of its own
    layouts = True          # whether gradients get the strides of their leaves

    def __setattr__(self, name, value):
        threading.local.__setattr__(self, name, value)
        if _mirror is not None and get_ident() == _mirrored_thread:
            _mirror[0] = 0 if self.special else TRANSFORMED if self.levels else 1
            _mirror[1] = self.grad
            _mirror[2] = id(4 if self.inference else 0)


_mirror = None              # [nothing special, gradients recorded, bits of new tensors], read by generated functions
TRANSFORMED = 2             # instead of 1 inside transforms: tensors tell what is theirs, factories and draws do not
_mirrored_thread = None
state = _State()


def switch_grad(value):
    """Set gradient recording in this thread; returns what it was. (A quicker ``state.grad = value``.)"""
    own = state.__dict__
    prev = own.get("grad", True)
    own["grad"] = value
    if _mirrored_thread == get_ident():
        _mirror[1] = value
    return prev


def switch_inference(value):
    """Set inference mode in this thread; returns what it was. (A quicker ``state.inference = value``.)"""
    own = state.__dict__
    prev = own.get("inference", False)
    own["inference"] = value
    if _mirrored_thread == get_ident():
        _mirror[2] = id(4 if value else 0)      # (CPython keeps one object of each)
    return prev


def switch_autocast(value):
    """Set what autocast casts to in this thread (None: nothing); generated functions leave calls to Python then."""
    own = state.__dict__
    change = (value is not None) - (own.get("autocast") is not None)
    own["autocast"] = value
    if change:
        state.special += change


def mirror(words):
    """Keep `words` telling generated functions of this thread's modes from now on."""
    global _mirror, _mirrored_thread
    _mirror, _mirrored_thread = words, get_ident()
    state.grad = state.grad


class _Decorator:
    """A context manager that can decorate functions and generator functions too."""

    def __call__(self, func):
        import inspect
        if inspect.isclass(func):
            import warnings
            warnings.warn("Decorating classes is deprecated and will be disabled in future versions: decorate "
                          "the methods that need it", FutureWarning, stacklevel=2)
        if inspect.isgeneratorfunction(func):
            return self._wrap_generator(func)

        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            with self.clone():
                return func(*args, **kwargs)
        return wrapper

    def _wrap_generator(self, func):
        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            gen = func(*args, **kwargs)
            action, value = gen.send, None
            try:
                while True:
                    with self.clone():
                        item = action(value)
                    try:
                        action, value = gen.send, (yield item)
                    except GeneratorExit:
                        raise
                    except BaseException as e:
                        action, value = gen.throw, e
            except StopIteration as stop:
                return stop.value
            finally:
                with self.clone():
                    gen.close()
        return wrapper

    def clone(self):
        """A fresh instance with the same settings (re-entrant use)."""
        return type(self)()


class _Switch(_Decorator):
    """One that may decorate a function without being called before."""

    __slots__ = ("_prev",)

    def __new__(cls, orig_func=None):
        self = object.__new__(cls)
        if orig_func is not None:
            return self(orig_func)
        return self

    def __init__(self, orig_func=None):
        pass


class no_grad(_Switch):
    """Context (or decorator) in which results do not require gradients."""

    __slots__ = ()

    def __enter__(self):
        self._prev = switch_grad(False)
        return None

    def __exit__(self, *exc):
        switch_grad(self._prev)


class enable_grad(_Switch):
    """Context (or decorator) in which gradients are recorded again, inside `no_grad`."""

    __slots__ = ()

    def __enter__(self):
        self._prev = switch_grad(not state.inference)
        return None

    def __exit__(self, *exc):
        switch_grad(self._prev)


class set_grad_enabled(_Decorator):
    """Switch gradient recording on or off: as a function at once, as a context until its end."""

    def __init__(self, mode):
        self.mode = bool(mode)
        self.prev = switch_grad(self.mode)

    def __call__(self, func):
        switch_grad(self.prev)
        return super().__call__(func)

    def __enter__(self):
        switch_grad(self.mode)

    def __exit__(self, *exc):
        switch_grad(self.prev)

    def clone(self):
        return set_grad_enabled(self.mode)

    def __repr__(self):
        return f"set_grad_enabled(mode={self.mode})"


class inference_mode(_Decorator):
    """Like `no_grad`, and tensors made inside can never take part in recording later."""

    def __new__(cls, mode=True):
        self = object.__new__(cls)
        if callable(mode) and not isinstance(mode, bool):
            self.mode = True
            return self(mode)
        return self

    def __init__(self, mode=True):
        self.mode = bool(mode) if not callable(mode) else True

    def __enter__(self):
        self._prev = switch_grad(not self.mode), switch_inference(self.mode)

    def __exit__(self, *exc):
        grad, inference = self._prev
        switch_grad(grad)
        switch_inference(inference)

    def clone(self):
        return inference_mode(self.mode)


class _Switch(_Decorator):
    """A setting of this thread: set by the call, and back again at the end of a context."""

    name = ""

    def __init__(self, mode):
        self.mode, self.prev = bool(mode), getattr(state, self.name)
        setattr(state, self.name, self.mode)

    def __call__(self, func):
        setattr(state, self.name, self.prev)
        return super().__call__(func)

    def __enter__(self):
        setattr(state, self.name, self.mode)

    def __exit__(self, *exc):
        setattr(state, self.name, self.prev)

    def clone(self):
        return type(self)(self.mode)


class set_multithreading_enabled(_Switch):
    """Whether backward may run on threads of its own; passes on the CPU run on the calling thread either way."""

    name = "threads"


class enforce_grad_layout_policy(_Switch):
    """Whether gradients that leaves take over must have the leaf's strides (else they are copied into them)."""

    name = "layouts"

    def __init__(self, enable=True):
        super().__init__(enable)


def is_multithreading_enabled():
    """Whether `set_multithreading_enabled` allows threads in this thread's backward passes."""
    return state.threads


def is_grad_enabled():
    """Whether operations record gradients in this thread."""
    return state.grad


def is_inference_mode_enabled():
    """Whether inference mode is active in this thread."""
    return state.inference


for _c in (no_grad, enable_grad, set_grad_enabled, set_multithreading_enabled, enforce_grad_layout_policy):
    _c.__module__ = "torch.autograd.grad_mode"
inference_mode.__module__ = "torch.autograd.grad_mode"
