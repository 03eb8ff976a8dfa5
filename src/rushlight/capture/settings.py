"""``torch.compiler.config``: settings of all compiled functions, and which of them may be given for one."""

import copy

# What PyTorch has. Those that act here: recompile_limit and accumulated_recompile_limit (programs for one form of
# arguments, and for a function), fail_on_recompile_limit_hit, dynamic_shapes, assume_static_by_default and
# automatic_dynamic_shapes (whether numbers among the arguments become inputs). The others can be set and read.
_DEFAULTS = {
    "job_id": None, "pgo_extra_read_key": None, "pgo_extra_write_key": None, "cache_key_tag": "",
    "force_disable_caches": False, "dynamic_sources": "", "dynamic_values": "", "unbacked_sources": "",
    "force_cudagraph_gc": False, "dynamic_shapes": True, "assume_static_by_default": True,
    "automatic_dynamic_shapes": True, "recompile_limit": 8, "accumulated_recompile_limit": 256, "verbose": False,
    "capture_scalar_outputs": False, "capture_dynamic_output_shape_ops": False, "log_file_name": None,
    "fail_on_recompile_limit_hit": False, "allow_unspec_int_on_nn_module": False,
    "skip_tensor_guards_with_matching_dict_tags": True, "enable_cpp_symbolic_shape_guards": False,
    "wrap_top_frame": False, "reorderable_logging_functions": set(),
}


class Config:
    """Settings as attributes; AttributeError for names that aren't settings."""

    def __init__(self):
        self.__dict__.update(copy.deepcopy(_DEFAULTS))

    def __setattr__(self, name, value):
        if name not in _DEFAULTS:
            raise AttributeError(f"torch.compiler.config.{name} does not exist")
        self.__dict__[name] = value

    def __getattr__(self, name):
        raise AttributeError(f"torch.compiler.config.{name} does not exist")

    def __repr__(self):
        return f"torch.compiler.config({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"

    def to_dict(self):
        """All settings, copied."""
        return copy.deepcopy(vars(self))

    get_config_copy = shallow_copy_dict = to_dict

    def load_config(self, settings):
        """Take over what `to_dict` gave."""
        for name, value in settings.items():
            setattr(self, name, value)

    def patch(self, arg1=None, arg2=None, **changes):
        """Other settings within a ``with`` block or a decorated function: names and values, a dict, or keywords."""
        if isinstance(arg1, dict):
            changes = {**arg1, **changes}
        elif arg1 is not None:
            changes = {arg1: arg2, **changes}
        return Patch(self, changes)


class Patch:
    """See `Config.patch`."""

    def __init__(self, config, changes):
        self.config, self.changes, self.before = config, changes, []

    def __enter__(self):
        before = {name: getattr(self.config, name) for name in self.changes}
        self.config.load_config(self.changes)
        self.before.append(before)

    def __exit__(self, *exc):
        self.config.load_config(self.before.pop())

    def __call__(self, fn):
        import functools

        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            with self:
                return fn(*args, **kwargs)
        return wrapper


config = Config()
