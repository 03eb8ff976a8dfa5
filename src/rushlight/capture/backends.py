"""What `compile` may be asked for: names of backends, modes and options."""

import warnings

OWN = ("inductor", "rushlight")             # PyTorch's default is taken for ours
EAGER = ("aot_eager", "aot_eager_decomp_partition", "aot_eager_default_partitioner", "eager", "eager_debug",
         "eager_noexcept", "pre_dispatch_eager")
MODES = ("default", "lite", "reduce-overhead", "max-autotune-no-cudagraphs", "max-autotune")
# Those that PyTorch documents; but for the filter they ask for what is done anyway, or what there is no device for.
OPTIONS = {"epilogue_fusion": bool, "max_autotune": bool, "fallback_random": bool, "shape_padding": bool,
           "triton.cudagraphs": bool, "trace.enabled": bool, "trace.graph_diagram": bool, "guard_filter_fn": None}
_default = "inductor"


class InvalidBackend(RuntimeError):
    """A backend that there is no such of."""


def list_backends(exclude_tags=("debug", "experimental")):
    """Names for `compile`'s `backend`: ``inductor`` and ``rushlight`` are this compiler.

    With other `exclude_tags` also those for debugging, with which calls run eagerly, op by op.
    """
    found = list(OWN)
    if "debug" not in (exclude_tags or ()):
        found += EAGER
    return sorted(found)


def set_default_backend(backend):
    """The backend of `compile` from now on where it is given none; None: ``inductor`` again.

    TypeError for what is neither a name, nor callable, nor None. Names are checked when they are used.
    """
    global _default
    if backend is not None and not isinstance(backend, str) and not callable(backend):
        raise TypeError(f"backend must be a string or callable, got {type(backend)}")
    _default = "inductor" if backend is None else backend


def get_default_backend():
    """What `set_default_backend` has set; ``inductor`` at first."""
    return _default


def is_eager(backend):
    """Whether calls run eagerly with that backend; InvalidBackend or NotImplementedError where there is none."""
    backend = _default if backend is None else backend
    if not isinstance(backend, str):
        if not callable(backend):
            raise TypeError(f"backend must be a string or callable, got {type(backend)}")
        raise NotImplementedError("compile(): a backend can't be a function of graphs: kernels are captured, below the "
                                  "ops that such graphs are made of")
    if backend not in OWN and backend not in EAGER:
        raise InvalidBackend(f"Invalid backend: {backend!r}, see `torch.compiler.list_backends()` for available "
                             "backends.")
    return backend in EAGER


def guard_filter(mode, options):
    """Checks `compile`'s mode and options; the function ``guard_filter_fn`` among these, or None.

    RuntimeError for both at once, for other modes, and for values of another type.
    """
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if mode is not None and mode not in MODES:
        raise RuntimeError(f"Unrecognized mode={mode}, should be one of: {', '.join(MODES)}")
    if options is None:
        return None
    if not isinstance(options, dict):
        raise TypeError(f"compile(): argument 'options' must be a dict, not {type(options).__name__}")
    for name, value in options.items():
        name = name.replace("-", "_")
        if name not in OPTIONS:
            warnings.warn(f"compile: the option {name!r} changes nothing here", stacklevel=4)
        elif OPTIONS[name] is not None and not isinstance(value, OPTIONS[name]):
            raise RuntimeError(f"Unexpected type of attr {name}, got {type(value).__name__} should be "
                               f"{OPTIONS[name].__name__}")
    return options.get("guard_filter_fn")


# ---------------------------------------------------------------- filters of guards

class GuardFilterEntry:
    """A place whose value programs ask for, as a ``guard_filter_fn`` sees it.

    name: of the attribute, variable or key; value: what it holds; guard_type: ``TENSOR_MATCH`` for tensors,
    ``EQUALS_MATCH`` for numbers and text, ``ID_MATCH`` for other objects; is_global: whether it is a global name;
    owner: the module whose attribute it is, or None.
    """

    __slots__ = ("name", "value", "has_value", "guard_type", "derived_guard_types", "is_global", "orig_guard", "owner")

    def __init__(self, entry, owner, is_global):
        from ..tensor.tensor import Tensor
        from .places import PLAIN
        _, how, key, self.value = self.orig_guard = entry
        self.name, self.has_value, self.owner, self.is_global = f"{how} {key}", True, owner, is_global
        if how == "length":
            self.guard_type = "SEQUENCE_LENGTH"
        elif isinstance(self.value, Tensor):
            self.guard_type = "TENSOR_MATCH"
        else:
            self.guard_type = "EQUALS_MATCH" if isinstance(self.value, PLAIN) else "ID_MATCH"
        self.derived_guard_types = (self.guard_type,)

    def __repr__(self):
        return f"GuardFilterEntry({self.name!r}, {self.guard_type})"


def filtered(entries, objects, keep):
    """The `entries` of a `State` for which the function `keep` of `GuardFilterEntry`s says True.

    objects: those that were met. The memory of tensors is asked for all the same, since programs hold for it only.
    """
    import sys

    from ..nn import Module
    owners = {}
    for x in objects:
        if isinstance(x, Module):
            own = vars(x)
            owners.update((id(d), x) for d in (own, *[d for d in own.values() if type(d) is dict]))
    scopes = {id(vars(m)) for m in list(sys.modules.values()) if hasattr(m, "__dict__")}
    given = [GuardFilterEntry(e, owners.get(id(e[0])), id(e[0]) in scopes) for e in entries]
    verdicts = list(keep(given))
    if len(verdicts) != len(entries):
        raise RuntimeError(f"guard_filter_fn must give one answer for each of {len(entries)} guards, got "
                           f"{len(verdicts)}")
    return [e for e, verdict in zip(entries, verdicts) if verdict]


def _inbuilt(module):
    return module is not None and type(module).__module__.startswith((__name__.partition(".")[0] + ".", "torch."))


def keep_portable_guards_unsafe(guard_entries):
    """A filter that keeps what can be asked without Python: tensors only."""
    return [e.guard_type == "TENSOR_MATCH" for e in guard_entries]


def keep_tensor_guards_unsafe(guard_entries, keep_parameters=False):
    """A filter that keeps the guards of tensors, of parameters only where asked for."""
    from ..nn import Parameter
    return [e.guard_type == "TENSOR_MATCH" and (keep_parameters or not isinstance(e.value, Parameter))
            for e in guard_entries]


def skip_all_guards_unsafe(guard_entries):
    """A filter that keeps nothing: programs run for arguments of their form, whatever Python's state."""
    return [False for _ in guard_entries]


def skip_guard_on_all_nn_modules_unsafe(guard_entries):
    """A filter that leaves out the attributes of modules."""
    return [e.owner is None for e in guard_entries]


def skip_guard_on_inbuilt_nn_modules_unsafe(guard_entries):
    """A filter that leaves out the attributes of ``torch.nn``'s own modules."""
    return [not _inbuilt(e.owner) for e in guard_entries]


def skip_guard_on_globals_unsafe(guard_entries):
    """A filter that leaves out global names."""
    return [not e.is_global for e in guard_entries]
