"""Calling a module with other parameters and buffers than its own."""

import contextlib
import warnings

import rushlight as torch

__all__ = ["functional_call"]

_ABSENT = object()


def _tied_names(module):
    """Sets of names of one and the same tensor of the module."""
    names = {}
    for name, tensor in (*module.named_parameters(remove_duplicate=False),
                         *module.named_buffers(remove_duplicate=False)):
        names.setdefault(tensor, set()).add(name)
    return [group for group in names.values()]


def _untie_named_tensors_map(module, parameters_and_buffers):
    """The replacements with each given also under the other names of its tied tensor.

    Raises:
        ValueError: where two names of one tensor have different replacements.
    """
    replacements = dict(parameters_and_buffers)
    given = set(parameters_and_buffers)
    for group in _tied_names(module):
        named = group & given
        if len(named) > 1 and len({id(parameters_and_buffers[n]) for n in named}) != 1:
            raise ValueError("functional_call got multiple values for keys "
                             f"{sorted(named)}, which are tied. Consider using tie_weights=False")
        if named:
            value = parameters_and_buffers[next(iter(named))]
            for name in group:
                replacements[name] = value
    return replacements


def _swap(module, name, value):
    """Put `value` at the dotted `name` without checks; return what was there."""
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    for registry in (owner._parameters, owner._buffers):
        if leaf in registry:
            previous = registry[leaf]
            registry[leaf] = value
            return previous
    # A tensor kept as an ordinary attribute, or a name that exists for the call only.
    previous = getattr(owner, leaf, _ABSENT)
    if previous is not _ABSENT and not isinstance(previous, torch.Tensor):
        raise TypeError(f"{leaf}: {previous} is not an instance of torch.Tensor")
    if value is _ABSENT:
        delattr(owner, leaf)
    else:
        setattr(owner, leaf, value)
    return previous


@contextlib.contextmanager
def _reparametrize_module(module, parameters_and_buffers, tie_weights=False, strict=False,
                          stack_weights=False):
    values = parameters_and_buffers
    if tie_weights:
        values = _untie_named_tensors_map(module, values)
    if strict:
        own = {name for group in _tied_names(module) for name in group}
        missing, unexpected = own - set(values), set(values) - own
        problems = []
        if unexpected:
            names = ", ".join(map(repr, sorted(unexpected)))
            problems.append(f"Unexpected key(s): {names}.")
        if missing:
            problems.append(f"Missing key(s): {', '.join(map(repr, sorted(missing)))}.")
        if problems:
            raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t"
                               + "\n\t".join(problems))
    previous = {}
    try:
        for name, value in values.items():
            previous[name] = _swap(module, name, value)
        yield
    finally:
        for name in reversed(previous):
            # What forward itself has assigned (running statistics) goes to the caller.
            values_now = _swap(module, name, previous[name])
            if name in parameters_and_buffers:
                parameters_and_buffers[name] = values_now


def functional_call(module, parameters_and_buffers, args=None, kwargs=None, *, tie_weights=True,
                    strict=False):
    """Deprecated name of `rushlight.func.functional_call`."""
    warnings.warn("This API is deprecated as of PyTorch 2.0 and will be removed in a future "
                  "version of PyTorch. Please use torch.func.functional_call instead which is a "
                  "drop-in replacement.", FutureWarning, stacklevel=2)
    return _functional_call(module, parameters_and_buffers, args, kwargs,
                            tie_weights=tie_weights, strict=strict)


def _functional_call(module, parameters_and_buffers, args=None, kwargs=None, *,
                     tie_weights=True, strict=False):
    """`module(*args, **kwargs)` with the given tensors in place of its own.

    Args:
        parameters_and_buffers: dotted names and tensors; the rest stays the module's own.
        tie_weights: a tensor that the module has under several names is replaced under all.
        strict: raise where names are missing or unknown.
    """
    if args is None:
        args = ()
    elif not isinstance(args, tuple):
        args = (args,)
    with _reparametrize_module(module, parameters_and_buffers, tie_weights=tie_weights,
                               strict=strict):
        return module(*args, **(kwargs or {}))
