"""Counting floating-point operations of matrix products, convolutions and attention, by module and by op.

A multiplication with an addition counts as two. Other ops are not counted, unless a formula is registered for them.
"""

import math
from collections import defaultdict

import rushlight as torch
from rushlight.autograd.modes import state
from rushlight.tensor import watch
from rushlight.utils.module_tracker import ModuleTracker

__all__ = ["FlopCounterMode", "register_flop_formula"]


def _product(name, contraction):
    """Formula of a kernel whose result is sums of ``contraction(*args)`` products each."""
    def count(args, out):
        return (name(args, out) if callable(name) else name), 2 * out.numel() * contraction(*args)
    return count


def _by_rank(args, out):
    return "mm" if out.dim() == 2 else "bmm"


def _linear_name(args, out):
    return "mm" if args[2] is None else "addmm"


def _transposed_product(args, out):
    a, b = args
    folded = out.dim() == 2
    k = a.numel() // max(a.shape[-1], 1) if folded else a.shape[-2]
    return ("mm" if folded else "bmm"), 2 * out.numel() * k


def _convolution(name, grid, weight):
    """Formula of a convolution: each position of `grid` meets every weight of its group once."""
    def count(args, out):
        positions = grid(args, out)
        return name, 2 * positions.shape[0] * math.prod(positions.shape[2:]) * math.prod(weight(args, out).shape)
    return count


def _attention(products, name):
    def count(args, out):
        query, key, value = args[products[1]:products[1] + 3]
        pairs = math.prod(query.shape[:-1]) * key.shape[-2]
        d, dv = query.shape[-1], value.shape[-1]
        forward = 2 * pairs * (d + dv)
        # Backward forms the scores anew and has two products for each of the two.
        return name, forward if products[0] == 2 else 2 * forward + 2 * pairs * d
    return count


# What kernels compute, by the label they tell: ``(args, first result) -> (name of the op, count)``.
_KERNELS = {
    "mm": _product("mm", lambda a, b: a.shape[-1]),
    "bmm": _product("bmm", lambda a, b: a.shape[-1]),
    "_matmul_nt": _product(_by_rank, lambda a, b: a.shape[-1]),
    "_matmul_tn": _transposed_product,
    "_matmul_fold": _product("mm", lambda a, b: a.shape[-1]),
    "linear": _product(_linear_name, lambda a, w, bias: a.shape[-1]),
    "addmm": _product("addmm", lambda c, a, b, *_: a.shape[-1]),
    "baddbmm": _product("baddbmm", lambda c, a, b, *_: a.shape[-1]),
    "addbmm": _product("bmm", lambda c, a, b, *_: a.shape[0] * a.shape[-1]),
    "convolution": _convolution("convolution", lambda args, out: out, lambda args, out: args[1]),
    "convolution_transposed": _convolution("convolution", lambda args, out: args[0], lambda args, out: args[1]),
    "conv_input": _convolution("convolution_backward", lambda args, out: args[0], lambda args, out: args[1]),
    "conv_weight": _convolution("convolution_backward", lambda args, out: args[1], lambda args, out: out),
    "_scaled_dot_product_flash_attention_for_cpu": _attention((2, 0), "_scaled_dot_product_flash_attention"),
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention(
        (5, 1), "_scaled_dot_product_flash_attention_backward"),
}

def count(label, args, out):
    """Operations of the kernel `label` on `args` with the first result `out`; 0 for one that isn't counted."""
    return _KERNELS[label](args, out)[1] if label in _KERNELS else 0


flop_registry = {}              # operator -> formula that was registered


def register_flop_formula(targets, get_raw=False):
    """Decorator: a function that counts the operations of an operator, or of several.

    Args:
        targets: ``torch.ops.aten.name``, or a list of such.
        get_raw: call it with tensors and ``out_val=`` instead of shapes and ``out_shape=``.

    The function gets the operator's arguments, each tensor as its shape, and ``out_shape=``; it returns a number.
    """
    def register(formula):
        for target in targets if isinstance(targets, (list, tuple)) else (targets,):
            if target in flop_registry:
                raise RuntimeError(f"duplicate registrations for {target}")
            flop_registry[target] = formula if get_raw else _on_shapes(formula)
        return formula
    return register


def _on_shapes(formula):
    def shape(x):
        if isinstance(x, torch.Tensor):
            return x.shape
        return type(x)(map(shape, x)) if isinstance(x, (list, tuple)) else x

    def raw(*args, out_val=None, **kwargs):
        return formula(*map(shape, args), out_shape=shape(out_val), **kwargs)
    return raw


class FlopCounterMode(watch.Listener):
    """Context that counts operations, of forward and backward.

    Args:
        mods: accepted for compatibility; modules are found as they run.
        depth (int): how many levels of modules the table shows; None: all.
        display (bool): print the table at the end.
        custom_mapping (dict): further formulas, by operator (``torch.ops.aten.name``); a function's attribute
            ``_get_raw`` says that it takes tensors, see `register_flop_formula`.

    Attention and matrix products inside of recurrent layers run as one kernel here; the latter are not counted.
    """

    def __init__(self, mods=None, depth=2, display=True, custom_mapping=None):
        self.depth, self.display = depth, display
        self.flop_counts = defaultdict(lambda: defaultdict(int))
        self._tracker = ModuleTracker()
        own = {op: f if getattr(f, "_get_raw", False) else _on_shapes(f) for op, f in (custom_mapping or {}).items()}
        self._formulas = own

    # ------------------------------------------------------------ listening

    def _count(self, name, count):
        for parent in set(self._tracker.parents):
            self.flop_counts[parent][name] += count

    def _special(self, label, args, out):
        """Count by a formula that was given for the op; whether there is one."""
        if not self._formulas and not flop_registry:
            return False
        op = getattr(torch.ops.aten, label.partition(".")[0], None)
        formula = self._formulas.get(op) or flop_registry.get(op)
        if formula is not None:
            self._count(op, formula(*args, out_val=out))
        return formula is not None

    def ran(self, label, kernel, args, outs, direct=None):
        out = outs[0] if isinstance(outs, tuple) else outs
        if not self._special(label, args, outs) and label in _KERNELS:
            name, count = _KERNELS[label](args, out)
            self._count(getattr(torch.ops.aten, name, f"aten.{name}"), count)     # some are kernels only

    def pointwise(self, rec, launch, operands, scalars, out, fresh):
        self._special(rec.name, operands, out)

    def __enter__(self):
        self.flop_counts.clear()
        self._tracker.__enter__()
        self._outer = watch.set_listener(self)
        state.special += 1
        return self

    def __exit__(self, *exc):
        state.special -= 1
        watch.set_listener(self._outer)
        self._tracker.__exit__(*exc)
        if self.display:
            print(self.get_table(self.depth))

    # ------------------------------------------------------------ results

    def get_total_flops(self):
        """The number of operations."""
        return sum(self.flop_counts["Global"].values())

    def get_flop_counts(self):
        """``{module: {operator: number}}``; ``"Global"`` has all."""
        return {module: dict(counts) for module, counts in self.flop_counts.items()}

    def get_table(self, depth=None):
        """The counts as a table, for modules up to a depth (default: that of the mode)."""
        depth = self.depth if depth is None else depth
        depth = 999999 if depth is None else depth
        total = self.get_total_flops()
        unit = min(max((len(str(total)) - 2) // 3, 0), 4)

        def rows(module):
            counts = self.flop_counts[module]
            listed = [(module, sum(counts.values())), *((f"- {op}", n) for op, n in counts.items())]
            return [(name, f"{n / 1000**unit:.3f}{('', 'K', 'M', 'B', 'T')[unit]}",
                     f"{100 * n / total if total else 0:.2f}%") for name, n in listed]
        modules = [m for m in sorted(self.flop_counts) if m != "Global" and m.count(".") + 1 <= depth]
        everything = dict(self.flop_counts["Global"])
        body = [row for m in modules for row in rows(m)]
        if not any(dict(self.flop_counts[m]) == everything for m in modules) and everything:
            body = rows("Global") + body
        return _table(("Module", "FLOP", "% Total"), body or [("Global", "0", "0%")])


def _table(head, body):
    """Rows in columns, the first one to the left, the others to the right."""
    wide = [max(len(h) + 2, *(len(row[i]) for row in body)) for i, h in enumerate(head)]

    def line(row):
        return "  ".join(x.ljust(w) if i == 0 else x.rjust(w) for i, (x, w) in enumerate(zip(row, wide))).rstrip()
    return "\n".join([line(head), "  ".join("-" * w for w in wide), *map(line, body)])
