"""``float(x)``, ``int(x)`` and ``"..." % x`` of numbers that may be seen.

Types can't be replaced as functions can: others ask whether they are the types they know. So the code of the functions
that a call uses is changed while its tape is written, where it calls ``float`` or ``int`` with one argument: it calls a
function of ours there. A text in the code that ``%`` fills in becomes one of our class, which does that.
"""

import builtins
import types

from numpy import ndarray

from ..tensor import watch
from ..tensor.tensor import Tensor
from .destinations import _MODULOS, Format, _flow
from .effects import _HOME
from .numbers import Seen, applied

_OTHERS = {"float": "_rushlight_float", "int": "_rushlight_int"}


def _converting(real):
    def convert(x):
        if type(x) is Tensor and type(x._a) is ndarray and x._a.size == 1 and x._a.dtype.kind != "c" and \
                watch.listener is not None:
            x = x.item()
        return applied(real.__name__, real(x.value), [x]) if type(x) is Seen and x.tape is not None else real(x)
    return convert


_FUNCTIONS = {_OTHERS[real.__name__]: _converting(real) for real in (float, int)}
_known = {}                             # code -> the changed one, None where there is nothing to change


def _changed(code):
    if code not in _known:
        if len(_known) > 4096:
            _known.clear()
        _known[code] = _made(code)
    return _known[code]


def _made(code):
    names, text = list(code.co_names), bytearray(code.co_code)
    consts = [(_changed(c) or c) if isinstance(c, types.CodeType) else c for c in code.co_consts]
    inner = any(a is not b for a, b in zip(consts, code.co_consts))
    forms = any(type(c) is str and "%" in c for c in code.co_consts)
    flow = _flow(code) if forms or {"float", "int"} & set(names) else None
    for k, i in enumerate(flow.all if flow is not None else ()):
        if i.opname == "LOAD_CONST" and type(i.argval) is str and "%" in i.argval and _is_form(flow, k):
            if i.arg < 256 and len(consts) < 256:
                text[i.offset + 1] = len(consts)
                consts.append(Format(i.argval))
        if i.opname != "LOAD_GLOBAL" or i.argval not in _OTHERS or not _is_called(flow, k):
            continue
        other = _OTHERS[i.argval]
        if other not in names:
            names.append(other)
        at = names.index(other) * 2 + (i.arg & 1)
        if i.arg < 256 and at < 256:
            text[i.offset + 1] = at
    if not inner and bytes(text) == code.co_code:
        return None
    return code.replace(co_names=tuple(names), co_code=bytes(text), co_consts=tuple(consts))


def _is_form(flow, k):
    """Whether what instruction `k` loads is what ``%`` fills in, and nothing else."""
    entry = (k, 0)
    uses = [j for j in flow.stacks if entry in flow.taken(j)]
    return entry not in flow.lost and bool(uses) and all(
        flow.all[j].opname == "BINARY_OP" and flow.all[j].arg in _MODULOS and flow.taken(j)[1] != entry for j in uses)


def _is_called(flow, k):
    """Whether what instruction `k` loads is called, with one argument, wherever the code goes on; nothing else is done
    with it."""
    entries, called = {(k, 0), (k, 1)}, False
    if entries & flow.lost:
        return False
    for j in flow.stacks:
        taken = flow.taken(j)
        if entries & set(taken):
            if flow.all[j].opname != "CALL" or len(taken) != 3 or entries & set(taken[2:]) or any(
                    x.opname == "KW_NAMES" for x in flow.all[max(0, j - 2):j]):
                return False
            called = True
    return called


def _functions(reach):
    """[(function, its code, the changed one)] of what a `Reach` has met."""
    found, seen = [], set()
    for f in [*reach.objects, *[e[3] for e in reach.entries]]:
        f = getattr(f, "__func__", getattr(f, "fget", f))
        if type(f) is types.FunctionType and id(f) not in seen and not f.__code__.co_filename.startswith(_HOME):
            seen.add(id(f))
            new = _changed(f.__code__)
            if new is not None:
                found.append((f, f.__code__, new))
    return found


class Converted:
    """While it is entered, the functions that a `Reach` has met convert numbers that may be seen.

    originals: changed code -> the code that it stands for.
    """

    def __init__(self, reach):
        self.put, self.originals = [], {}
        for f, old, new in reach.once(_functions):
            if f.__code__ is old and not {"float", "int"} & f.__globals__.keys():
                self.put.append((f, old, new))
                self._remember(old, new)

    def _remember(self, old, new):
        self.originals[new] = old
        for a, b in zip(old.co_consts, new.co_consts):
            if a is not b:
                self._remember(a, b)

    def __enter__(self):
        if self.put:
            vars(builtins).update(_FUNCTIONS)
        for f, _, new in self.put:
            f.__code__ = new
        return self

    def __exit__(self, *exc):
        for f, old, new in self.put:
            if f.__code__ is new:
                f.__code__ = old
        # (the functions stay where changed code that still runs finds them)
