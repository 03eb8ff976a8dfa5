"""``opcheck``: whether an operator keeps what its registrations promise."""

import rushlight as torch

from . import operators
from .entries import _tensors

__all__ = ["OpCheckError", "opcheck"]


class OpCheckError(Exception):
    """A promise that an operator does not keep."""


def _copies(values):
    if isinstance(values, torch.Tensor):
        return values.detach().clone().requires_grad_(values.requires_grad)
    if isinstance(values, (list, tuple)):
        return type(values)(_copies(v) for v in values)
    return {k: _copies(v) for k, v in values.items()} if isinstance(values, dict) else values


def _test_schema(op, args, kwargs, tolerances):
    """Arguments that are not said to be written to keep their values, and results are new memory."""
    args, kwargs = _copies(args), _copies(kwargs)
    before = _copies(args), _copies(kwargs)
    out = op(*args, **kwargs)
    s = op._schema
    positional, named = s.bind(args, kwargs)
    old_positional, old_named = s.bind(*before)
    for a, now, old in zip(s.arguments, (*positional, *named.values()), (*old_positional, *old_named.values())):
        for x, y in zip(_tensors((now,)), _tensors((old,))):
            if not a.is_write and not torch.equal(x.detach(), y.detach()):
                raise OpCheckError(f"Argument {a.name} is not defined as mutable but was mutated")
    blocks = {id(t._storage.block()) for t in _tensors((*positional, *named.values()))}
    if any(id(t._storage.block()) in blocks for t in _tensors((out,))):
        raise OpCheckError("an output shares memory with an input, which the schema does not say")


def _test_autograd_registration(op, args, kwargs, tolerances):
    """An op on tensors that need gradients has a gradient."""
    entry = op._entry
    needs = any(t.requires_grad for t in _tensors((*args, *kwargs.values())))
    if needs and entry.backward is None and not entry.schema.is_mutable and not {"autograd", "implicit"} & \
            entry.kernels.keys():
        raise OpCheckError(f"Trying to backward through {entry.qualname} but no autograd formula was registered. "
                           "Please use register_autograd to add one.")


def _test_faketensor(op, args, kwargs, tolerances):
    """Tensors without data give results of the shapes and types that those with data give."""
    with torch.no_grad():
        real = op(*_copies(args), **_copies(kwargs))
        fake = op(*_meta(args), **_meta(kwargs))
    for x, y in zip(_tensors((real,)), _tensors((fake,)), strict=True):
        if (x.shape, x.dtype) != (y.shape, y.dtype):
            raise OpCheckError(f"the fake implementation gives {tuple(y.shape)} of {y.dtype}, the kernel "
                               f"{tuple(x.shape)} of {x.dtype}")


def _meta(values):
    if isinstance(values, torch.Tensor):
        return values.detach().to("meta")
    if isinstance(values, (list, tuple)):
        return type(values)(_meta(v) for v in values)
    return {k: _meta(v) for k, v in values.items()} if isinstance(values, dict) else values


def _test_aot_dispatch_dynamic(op, args, kwargs, tolerances):
    """A compiled call gives what a plain one does, gradients included."""
    results = []
    compiled = torch.compile(lambda *a, **k: op(*a, **k))
    for run in (op, compiled):
        a, k = _copies(args), _copies(kwargs)
        outs = [t for t in _tensors((run(*a, **k),))]
        found = [t for t in outs if t.requires_grad]
        leaves = [t for t in _tensors((*a, *k.values())) if t.requires_grad]
        grads = torch.autograd.grad([t.sum() for t in found], leaves, allow_unused=True) if found and leaves else ()
        results.append(([t.detach() for t in outs], [g for g in grads if g is not None]))
    torch.testing.assert_close(results[1], results[0], **tolerances)


_TESTS = {"test_schema": _test_schema, "test_autograd_registration": _test_autograd_registration,
          "test_faketensor": _test_faketensor, "test_aot_dispatch_dynamic": _test_aot_dispatch_dynamic,
          "test_aot_dispatch_static": _test_aot_dispatch_dynamic}
_ALL = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic")


def opcheck(op, args, kwargs=None, *, test_utils=_ALL, raise_exception=True, atol=None, rtol=None):
    """Run the named checks of an operator on sample arguments: {name: "SUCCESS" or what went wrong}.

    `OpCheckError` at the first failure, unless `raise_exception` is False.
    """
    op = operators.overload(op)
    names = _ALL if test_utils == "ALL" else (test_utils,) if isinstance(test_utils, str) else test_utils
    unknown = set(names) - set(_TESTS)
    if unknown:
        raise ValueError(f"opcheck(op, ..., test_utils={test_utils}), expected test_utils to be subset of "
                         f"{tuple(_TESTS)} but it was not")
    results = {}
    for name in names:
        try:
            _TESTS[name](op, tuple(args), dict(kwargs or {}), {"atol": atol, "rtol": rtol})
            results[name] = "SUCCESS"
        except Exception as error:
            if raise_exception:
                raise OpCheckError(f"opcheck(op, ...): {name} failed with {error} (scroll up for stack trace)") \
                    from error
            results[name] = error
    return results
