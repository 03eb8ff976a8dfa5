"""The rest of ``torch.compiler``: what compiled functions do from now on, and marks on functions."""

import functools

from . import compiled, effects

STANCES = ("default", "force_eager", "eager_on_recompile", "fail_on_recompile")


class set_stance:
    """How compiled functions answer calls, from now on, or within a ``with`` block or a decorated function.

    stance: ``default``; ``force_eager``: all run eagerly; ``eager_on_recompile``: programs that are there run, other
    calls run eagerly; ``fail_on_recompile``: other calls raise RuntimeError.
    """

    def __init__(self, stance="default", *, skip_guard_eval_unsafe=False, force_backend=None):
        if stance not in STANCES:
            raise RuntimeError(f"invalid torch.compile stance '{stance}': choose one of {', '.join(STANCES)}")
        self.name = stance
        self.before = compiled.take_stance(stance)

    def __enter__(self):
        compiled.take_stance(self.name)

    def __exit__(self, *exc):
        compiled.take_stance(self.before)

    def __call__(self, fn):
        compiled.take_stance(self.before)

        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            before = compiled.take_stance(self.name)
            try:
                return fn(*args, **kwargs)
            finally:
                compiled.take_stance(before)
        return wrapper


def list_backends(exclude_tags=("debug", "experimental")):
    """Names for `compile`'s `backend`: there is one."""
    return ["rushlight"]


def allow_in_graph(fn):
    """`fn` itself: what functions do is captured, whatever they are."""
    return [allow_in_graph(f) for f in fn] if isinstance(fn, (list, tuple)) else fn


def substitute_in_graph(original_fn, *, can_constant_fold_through=False, skip_signature_check=False):
    """Decorator of a Python function that does what `original_fn`, a function in C, does: that one is pure, then.

    Calls of `original_fn` no longer keep a call eager. TypeError for what can't be called; the signatures are compared
    where both are known, unless `skip_signature_check`.
    """
    if not callable(original_fn) or isinstance(original_fn, type):
        raise TypeError(f"substitute_in_graph expects a function but got {type(original_fn).__name__}")

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


def nested_compile_region(fn=None, *_, **__):
    """`fn` itself: regions that repeat need no mark."""
    return nested_compile_region if fn is None else fn


def assume_constant_result(fn):
    """`fn` itself: what it reads is guarded, so nothing has to be assumed."""
    return fn


def cudagraph_mark_step_begin():
    """Does nothing: programs run on the CPU, and results own their memory."""


def set_enable_guard_collectives(enabled):
    """Does nothing, as each process guards for itself; returns what was set before (False)."""
    return False
