"""An interpreter of pickles that can build only what `_allowed` has rules for.

It is no `pickle.Unpickler` with some lookups forbidden: it knows the opcodes one by one (PEP 3154 and
the `pickletools` documentation), checks each operand, never imports, never looks an attribute up by a
name from the file, and calls nothing but rules and what the user allowed.
"""

import struct
from collections import OrderedDict
from pickle import UnpicklingError

from rushlight.serialization import _safe_globals
from rushlight.serialization._allowed import (
    Refused,
    Rule,
    StorageType,
    TensorType,
    UserGlobal,
    require_key,
    rule_for,
)

_BLOCKED_MODULES = frozenset({"sys", "os", "posix", "nt", "subprocess", "builtins", "__builtin__"})
_MARK = object()
_INTERNAL = (Rule, StorageType, TensorType, UserGlobal)
_MADE_BY_NEW = ("OrderedDict", "Counter", "Size", "set", "TorchVersion")
_MAX_MEMO = 1 << 26


class UnsupportedGlobal(UnpicklingError):
    """A name in the file that is not allowed."""


def unsupported_global(module, name):
    """The error for a global without a rule, with the way to allow it."""
    full = f"{module}.{name}"
    if module in _BLOCKED_MODULES:
        return UnsupportedGlobal(f"Trying to load unsupported GLOBAL {full} whose module {module} is "
                            "blocked.")
    return UnsupportedGlobal(
        f"Unsupported global: GLOBAL {full} was not an allowed global by default. Please use "
        f"`torch.serialization.add_safe_globals([{full}])` or the "
        f"`torch.serialization.safe_globals([{full}])` context manager to allowlist this global if "
        "you trust this class/function.")


class SafeUnpickler:
    """Runs one pickle that starts at `position` of `data`; afterwards `position` is behind it."""

    def __init__(self, data, persistent_load, position=0, encoding="utf-8", on_global=None):
        self.data = memoryview(data)
        self.position = position
        self.persistent_load = persistent_load
        self.encoding = encoding
        self.on_global = on_global
        self.stack = []
        self.memo = {}

    def load(self):
        """The value of the pickle. Raises UnpicklingError for anything malformed or not allowed."""
        opcodes = _OPCODES
        try:
            while True:
                code = self._take(1)[0]
                if code == 0x2E:        # STOP
                    value = self._pop()
                    if self.stack:
                        raise UnpicklingError("values are left over at the end of the pickle")
                    return self._finished(value)
                step = opcodes.get(code)
                if step is None:
                    raise UnpicklingError(f"Unsupported operand {code}")
                step(self)
        except UnpicklingError:
            raise
        except Refused as error:
            raise UnpicklingError(str(error)) from None
        except (IndexError, KeyError, ValueError, TypeError, OverflowError, RecursionError,
                struct.error) as error:
            raise UnpicklingError(f"malformed pickle: {error}") from error

    # -- operands -----------------------------------------------------------------------------

    def _take(self, count):
        start = self.position
        end = start + count
        if end > len(self.data):
            raise UnpicklingError("the pickle ends early")
        self.position = end
        return self.data[start:end]

    def _unpack(self, form):
        return form.unpack(self._take(form.size))[0]

    def _line(self):
        end = bytes(self.data[self.position:self.position + 1024]).find(b"\n")
        if end < 0:
            raise UnpicklingError("a name is not terminated")
        text = str(self._take(end + 1)[:end], "utf-8")
        return text

    # -- stack --------------------------------------------------------------------------------

    def _pop(self):
        if not self.stack:
            raise UnpicklingError("the stack is empty")
        value = self.stack.pop()
        if value is _MARK:
            raise UnpicklingError("unexpected mark")
        return value

    def _pop_value(self):
        return self._finished(self._pop())

    def _finished(self, value):
        if isinstance(value, _INTERNAL):
            raise UnpicklingError("a class or function can't be a value here")
        return value

    def _top(self, *kinds):
        if not self.stack:
            raise UnpicklingError("the stack is empty")
        top = self.stack[-1]
        if kinds and not isinstance(top, kinds):
            raise UnpicklingError(f"expected a {kinds[0].__name__}, found a {type(top).__name__}")
        return top

    def _pop_mark(self):
        stack = self.stack
        for i in range(len(stack) - 1, -1, -1):
            if stack[i] is _MARK:
                items = stack[i + 1:]
                del stack[i:]
                return items
        raise UnpicklingError("no mark on the stack")

    def _push(self, value):
        self.stack.append(value)

    # -- building -----------------------------------------------------------------------------

    def _tuple(self, count):
        items = tuple(self._pop() for _ in range(count))[::-1]
        self._push(items)

    def _append(self, items):
        target = self._top(list)
        for item in items:
            self._finished(item)
        target.extend(items)

    def _set_items(self, items):
        target = self._top(dict)
        if len(items) % 2:
            raise UnpicklingError("a key has no value")
        for key, value in zip(items[::2], items[1::2]):
            require_key(key)
            target[key] = self._finished(value)

    def _add_items(self):
        items = self._pop_mark()
        target = self._top(set)
        for item in items:
            require_key(item)
            target.add(item)

    def _frozenset(self):
        items = self._pop_mark()
        for item in items:
            require_key(item)
        self._push(frozenset(items))

    def _memoize(self, index):
        if index > _MAX_MEMO:
            raise UnpicklingError("memo index out of range")
        value = self._top()
        if value is _MARK:
            raise UnpicklingError("a mark can't be memoized")
        self.memo[index] = value

    def _recall(self, index):
        if index not in self.memo:
            raise UnpicklingError(f"nothing is memoized as {index}")
        self._push(self.memo[index])

    def _global(self, module, name):
        if type(module) is not str or type(name) is not str:
            raise UnpicklingError("a global's name must be text")
        if self.on_global is not None:
            self.on_global(module, name)
        rule = rule_for(module, name)
        if rule is None:
            target = _safe_globals.lookup(module, name)
            if target is None:
                raise unsupported_global(module, name)
            rule = UserGlobal(target)
        self._push(rule)

    def _stack_global(self):
        name, module = self._pop(), self._pop()
        self._global(module, name)

    def _reduce(self):
        args, function = self._pop(), self._pop()
        if type(args) is not tuple:
            raise UnpicklingError("the arguments of a call must be a tuple")
        if isinstance(function, Rule):
            self._push(function.call(args))
        elif isinstance(function, UserGlobal):
            self._push(function.target(*[self._user_argument(a) for a in args]))
        else:
            raise UnpicklingError(f"a {type(function).__name__} can't be called")

    def _user_argument(self, value):
        return value.target if isinstance(value, UserGlobal) else self._finished(value)

    def _new_object(self):
        args, kind = self._pop(), self._pop()
        if type(args) is not tuple:
            raise UnpicklingError("the arguments of a call must be a tuple")
        if isinstance(kind, Rule) and kind.name in _MADE_BY_NEW:
            self._push(kind.call(args))
        elif isinstance(kind, UserGlobal) and isinstance(kind.target, type):
            args = [self._user_argument(a) for a in args]
            self._push(kind.target.__new__(kind.target, *args))
        else:
            raise UnpicklingError("only allowed classes can be made")

    def _build(self):
        state = self._pop_value()
        target = self._top()
        if type(target) is OrderedDict:
            if type(state) is not dict or not all(type(k) is str for k in state):
                raise UnpicklingError("the attributes of an OrderedDict must be a dict of names")
            target.__dict__.update(state)
            return
        kind = type(target)
        if isinstance(target, _INTERNAL) or not any(
                kind is allowed for allowed in _safe_globals._allowed.values()):
            raise UnsupportedGlobal(
                f"Can only build Tensor, Parameter, OrderedDict or types allowlisted via "
                f"`add_safe_globals`, but got {kind.__module__}.{kind.__qualname__}")
        if hasattr(kind, "__setstate__"):
            target.__setstate__(state)
        elif type(state) is tuple and len(state) == 2:
            for part in state:
                self._set_attributes(target, part)
        else:
            self._set_attributes(target, state)

    @staticmethod
    def _set_attributes(target, state):
        if state is None:
            return
        if type(state) is not dict or not all(type(k) is str for k in state):
            raise UnpicklingError("an object's state must be a dict of names")
        for name, value in state.items():
            object.__setattr__(target, name, value)

    def _persistent(self):
        self._push(self.persistent_load(self._pop()))

    def _text(self, count, errors="surrogatepass"):
        self._push(str(self._take(count), "utf-8", errors))

    def _old_string(self, count):
        data = bytes(self._take(count))
        self._push(data if self.encoding == "bytes" else data.decode(self.encoding))

    def _long(self, count):
        if count < 0:
            raise UnpicklingError("negative length")
        self._push(int.from_bytes(self._take(count), "little", signed=True))

    def _protocol(self):
        version = self._take(1)[0]
        if version > 5:
            raise UnpicklingError(f"pickle protocol {version} is not known")


_U1, _U2, _I4, _U4, _U8 = (struct.Struct(f) for f in ("<B", "<H", "<i", "<I", "<Q"))
_F8 = struct.Struct(">d")


def _pop_top(u):
    if not u.stack:
        raise UnpicklingError("the stack is empty")
    u.stack.pop()


_OPCODES = {
    0x80: SafeUnpickler._protocol,                                      # PROTO
    0x95: lambda u: u._unpack(_U8),                                     # FRAME (no buffering here)
    0x28: lambda u: u._push(_MARK),                                     # MARK
    0x30: _pop_top,                                                     # POP
    0x31: lambda u: u._pop_mark(),                                      # POP_MARK
    0x4E: lambda u: u._push(None),                                      # NONE
    0x88: lambda u: u._push(True),                                      # NEWTRUE
    0x89: lambda u: u._push(False),                                     # NEWFALSE
    0x4A: lambda u: u._push(u._unpack(_I4)),                            # BININT
    0x4B: lambda u: u._push(u._unpack(_U1)),                            # BININT1
    0x4D: lambda u: u._push(u._unpack(_U2)),                            # BININT2
    0x8A: lambda u: u._long(u._unpack(_U1)),                            # LONG1
    0x8B: lambda u: u._long(u._unpack(_I4)),                            # LONG4
    0x47: lambda u: u._push(u._unpack(_F8)),                            # BINFLOAT
    0x58: lambda u: u._text(u._unpack(_U4)),                            # BINUNICODE
    0x8C: lambda u: u._text(u._unpack(_U1)),                            # SHORT_BINUNICODE
    0x8D: lambda u: u._text(u._unpack(_U8)),                            # BINUNICODE8
    0x54: lambda u: u._old_string(u._unpack(_U4)),                      # BINSTRING
    0x55: lambda u: u._old_string(u._unpack(_U1)),                      # SHORT_BINSTRING
    0x42: lambda u: u._push(bytes(u._take(u._unpack(_U4)))),            # BINBYTES
    0x43: lambda u: u._push(bytes(u._take(u._unpack(_U1)))),            # SHORT_BINBYTES
    0x8E: lambda u: u._push(bytes(u._take(u._unpack(_U8)))),            # BINBYTES8
    0x96: lambda u: u._push(bytearray(u._take(u._unpack(_U8)))),        # BYTEARRAY8
    0x5D: lambda u: u._push([]),                                        # EMPTY_LIST
    0x7D: lambda u: u._push({}),                                        # EMPTY_DICT
    0x29: lambda u: u._push(()),                                        # EMPTY_TUPLE
    0x8F: lambda u: u._push(set()),                                     # EMPTY_SET
    0x74: lambda u: u._push(tuple(u._pop_mark())),                      # TUPLE
    0x85: lambda u: u._tuple(1),                                        # TUPLE1
    0x86: lambda u: u._tuple(2),                                        # TUPLE2
    0x87: lambda u: u._tuple(3),                                        # TUPLE3
    0x61: lambda u: u._append([u._pop()]),                              # APPEND
    0x65: lambda u: u._append(u._pop_mark()),                           # APPENDS
    0x73: lambda u: u._set_items([u._pop(), u._pop()][::-1]),           # SETITEM
    0x75: lambda u: u._set_items(u._pop_mark()),                        # SETITEMS
    0x90: SafeUnpickler._add_items,                                     # ADDITEMS
    0x91: SafeUnpickler._frozenset,                                     # FROZENSET
    0x71: lambda u: u._memoize(u._unpack(_U1)),                         # BINPUT
    0x72: lambda u: u._memoize(u._unpack(_U4)),                         # LONG_BINPUT
    0x94: lambda u: u._memoize(len(u.memo)),                            # MEMOIZE
    0x68: lambda u: u._recall(u._unpack(_U1)),                          # BINGET
    0x6A: lambda u: u._recall(u._unpack(_U4)),                          # LONG_BINGET
    0x63: lambda u: u._global(u._line(), u._line()),                    # GLOBAL
    0x93: SafeUnpickler._stack_global,                                  # STACK_GLOBAL
    0x52: SafeUnpickler._reduce,                                        # REDUCE
    0x81: SafeUnpickler._new_object,                                    # NEWOBJ
    0x62: SafeUnpickler._build,                                         # BUILD
    0x51: SafeUnpickler._persistent,                                    # BINPERSID
}


def list_globals(data, position=0):
    """Every ``module.name`` a pickle refers to, found without building anything of them."""
    import pickletools

    found, strings = set(), []
    for opcode, argument, _ in pickletools.genops(bytes(data[position:])):
        if opcode.name == "GLOBAL":
            module, _, name = argument.partition(" ")
            found.add((module, name))
        elif opcode.name == "STACK_GLOBAL" and len(strings) >= 2:
            found.add((strings[-2], strings[-1]))
        elif isinstance(argument, str):
            strings.append(argument)
    return found


