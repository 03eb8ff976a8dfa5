"""Marks on functions: what programs may take in, and how."""

import functools
from types import FunctionType

from ..tensor import watch
from ..tensor.tensor import Tensor
from . import effects, tree
from .compiled import Compiled, is_compiling
from .listening import end, hush
from .module import OptimizedModule


def disable(fn=None, recursive=True, *, reason=None):
    """A function that no program takes in: what calls it stays eager.

    Of a module it makes one that runs eagerly, of a class the class itself, whose instances are made eagerly. With
    ``recursive=False`` what it calls may be compiled; that holds here in either case, for compiled functions and for
    modules and functions that can be.
    """
    if fn is None:
        return functools.partial(disable, recursive=recursive, reason=reason)
    if not callable(fn):
        raise AssertionError("fn must be callable")
    if isinstance(fn, type):
        if isinstance(vars(fn).get("__init__"), FunctionType):
            fn.__init__ = disable(fn.__init__, recursive, reason=reason)
        return fn
    name = getattr(fn, "__name__", type(fn).__name__)

    def wrapper(*args, **kwargs):
        if watch.listener is not None and hasattr(watch.listener, "fail"):
            watch.listener.fail(f"{name} is disabled" + (f": {reason}" if reason else ""))
        return fn(*args, **kwargs)
    wrapper = functools.update_wrapper(wrapper, fn, updated=())
    wrapper._not_compiled = True
    if hasattr(fn, "_parameters") and hasattr(fn, "forward"):
        return OptimizedModule(fn, Compiled(wrapper, [fn], disable=True))
    return wrapper


def allow_in_graph(fn):
    """`fn` itself: what functions do is captured, whatever they are. AssertionError for what can't be called."""
    if isinstance(fn, (list, tuple)):
        return [allow_in_graph(f) for f in fn]
    if not callable(fn):
        raise AssertionError("allow_in_graph expects a callable")
    return fn


def substitute_in_graph(original_fn, *, can_constant_fold_through=False, skip_signature_check=False):
    """Decorator of a Python function that does what `original_fn`, a function in C, does: that one is pure, then.

    Calls of `original_fn` no longer keep a call eager. TypeError for what can't be called; the signatures are compared
    where both are known, unless `skip_signature_check`.
    """
    if not callable(original_fn) or isinstance(original_fn, type):
        raise TypeError(f"substitute_in_graph expects a function but got {type(original_fn)}")

    def mark(traceable_fn):
        import inspect
        if not skip_signature_check:
            try:
                own, other = inspect.signature(original_fn), inspect.signature(traceable_fn)
            except ValueError:              # (functions in C may tell none)
                own = other = None
            if own is not None and list(own.parameters) != list(other.parameters):
                raise TypeError(f"Signature mismatch between {original_fn} and {traceable_fn}: {own} vs {other}")
        effects.declare_pure(original_fn)
        return traceable_fn
    return mark


def nested_compile_region(fn=None, *, options=None, max_reuse_entries=8, reuse_hash_fn=None):
    """`fn` itself: regions that repeat need no mark, as kernels are made once."""
    return nested_compile_region if fn is None else fn


def _constant(*args, **kwargs):
    # `fn` is in the scope of each copy.
    if not is_compiling():
        return fn(*args, **kwargs)                                          # noqa: F821
    heard = hush()
    try:
        return fn(*args, **kwargs)                                          # noqa: F821
    finally:
        end(heard)


def assume_constant_result(fn):
    """A function that does what `fn` does, whose results programs take for the same always.

    Nobody looks into it while a call is captured: it may call what keeps other calls eager (read a file, the time, the
    environment), and what it reads is not guarded. Programs hold the result of the call that was captured.
    """
    if not callable(fn):
        raise AttributeError(f"{type(fn).__name__!r} object has no attribute '__call__'")
    # Not a closure: its contents would be guarded.
    made = FunctionType(_constant.__code__, {**globals(), "fn": fn}, getattr(fn, "__name__", "constant"))
    for name in ("__module__", "__qualname__", "__doc__"):
        setattr(made, name, getattr(fn, name, None))
    return made


def wrap_numpy(fn):
    """A function of tensors for `fn`, a function of NumPy arrays: tensors come as arrays, arrays and NumPy's scalars
    leave as tensors.

    NumPy computes, so there are no gradients: NotImplementedError where a tensor needs one while they are recorded.
    """
    import numpy as np

    from ..autograd.modes import state
    from ..ops.registry import function

    def array(x):
        if not isinstance(x, Tensor):
            return x
        if x.requires_grad and state.grad:
            raise NotImplementedError(f"{getattr(fn, '__name__', fn)}: there are no gradients of NumPy's functions")
        return x.numpy()

    def tensor(x):
        if isinstance(x, np.generic):
            x = np.asarray(x)
        return function("from_numpy")(x) if isinstance(x, np.ndarray) else x

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        leaves, structure = tree.flatten((args, kwargs))
        args, kwargs = tree.unflatten([array(x) for x in leaves], structure)
        leaves, structure = tree.flatten(fn(*args, **kwargs))
        return tree.unflatten([tensor(x) for x in leaves], structure)
    return wrapper


def load_compiled_function(file, *, f_globals=None, external_data=None):
    """Not there: programs hold for objects of the process they were made in. `save_cache_artifacts` keeps kernels."""
    raise NotImplementedError("load_compiled_function: programs can't be saved, as they hold for objects of this "
                              "process; torch.compiler.save_cache_artifacts saves their kernels")
