"""What compiled functions do from now on: ``torch.compiler.set_stance`` and what else is set for all of them."""

import functools

from ..tensor import watch
from . import compiled
from .backends import is_eager

STANCES = ("default", "force_eager", "eager_on_recompile", "fail_on_recompile", "eager_then_compile",
           "aot_eager_then_compile")


class set_stance:
    """How compiled functions answer calls, from now on, or within a ``with`` block or a decorated function.

    stance: ``default``; ``force_eager``: all run eagerly; ``eager_on_recompile``: programs that are there run, other
    calls run eagerly; ``fail_on_recompile``: other calls raise RuntimeError; ``eager_then_compile`` and
    ``aot_eager_then_compile``: the default, as first calls run eagerly anyway. force_backend: the name of a backend,
    only with the default stance; with one of those that run eagerly, all calls do. skip_guard_eval_unsafe changes
    nothing: checks are made always. RuntimeError while a call is being captured.
    """

    def __init__(self, stance="default", *, skip_guard_eval_unsafe=False, force_backend=None):
        if stance not in STANCES:
            raise RuntimeError(f"invalid torch.compile stance '{stance}': choose one of {', '.join(STANCES)}")
        if force_backend is not None:
            if stance != "default":
                raise RuntimeError("non-default stance cannot have force_backend set")
            stance = "force_eager" if is_eager(force_backend) else stance
        if hasattr(watch.listener, "fail"):
            watch.listener.fail("torch.compiler.set_stance is called")
        self.name = "default" if stance.endswith("then_compile") else stance
        self.before = compiled.take_stance(self.name)

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


def cudagraph_mark_step_begin():
    """Does nothing: programs run on the CPU, and results own their memory."""


_collectives = False


def set_enable_guard_collectives(enabled):
    """Keeps the setting, which changes nothing: each process guards for itself. Returns what was set before."""
    global _collectives
    before, _collectives = _collectives, bool(enabled)
    return before
