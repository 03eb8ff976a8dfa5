"""What a call tells the world: prints and log records, which a program's call repeats afterwards.

While a tape is written, `print` and the methods of loggers in the standard library are functions of ours. They print,
and write down what: texts of numbers that the program computes are made of its numbers then. Such texts are marks
meanwhile, which only these functions may meet: so a number turned into text gives a mark only where that text is shown
to go nowhere else (`destinations`).
"""

import builtins
import sys
from collections import OrderedDict
from threading import get_ident
from types import MethodDescriptorType

from numpy import ndarray

from ..autograd.modes import state
from ..autograd.node import Node
from ..tensor import watch
from ..tensor.tensor import Tensor, shallow
from .breaks import start
from .destinations import _MODULOS, Asked, puts_in
from .effects import _HOME
from .listening import end, hush
from .numbers import is_seen
from .places import PLAIN, put
from .sources import SeenGenerator, functions, is_generator
from .standins import Change, length, reducing
from .texts import Texts, formatted

_LEVELS = ("debug", "info", "warning", "error", "critical")
_TEXTS = {"__str__": str, "__repr__": repr, "__format__": format, "__mod__": None}
_FORMATTED = formatted.__code__


def _holders(reach):
    """Where functions and classes are held, id -> places, and [(place, generator of random numbers in it)]."""
    held, generators = {}, []
    for container, how, key, value in reach.entries:
        if how == "length" or isinstance(value, PLAIN):
            continue
        if callable(value):
            held.setdefault(id(value), []).append((container, how, key))
        if is_generator(value) and not callable(value):
            generators.append(((container, how, key), value))
    return held, generators


class Unknown(Exception):
    """A value that can't be told later; says why."""


class Outside(Texts):
    """What one call tells: `changes`, in order. Without a tape it only hides from `effects.Calls` how that is done."""

    def __init__(self, tape, stand=None):
        Texts.__init__(self, tape, stand)
        self.changes = []
        self.shown, self.telling = [], False
        self.thread, self.real, self.put = get_ident(), builtins.print, []
        self.ends = set()

    def __enter__(self):
        self._replace(vars(builtins), "print", self._printing, True)
        if self.tape is not None:
            if self.stand.grown:
                self._replace(vars(builtins), "len", length)
                for name in ("sum", "min", "max"):
                    self._replace(vars(builtins), name, reducing(name, getattr(builtins, name)))
            held, generators = self.stand.before.reach.once(_holders)
            for place, generator in generators:
                self.put.append((place, None, generator))
                put(*place, SeenGenerator(generator, self.tape, self.stand.places, self._listens))
            for module, name, ours in functions(self.tape, self.stand.places, self._listens):
                self._source(module, name, ours, held)
        copies = sys.modules.get("copy")
        if copies is not None:
            self._replace(vars(copies), "deepcopy", self._copying)
        encoder = sys.modules.get("json.encoder")
        if encoder is not None and self.tape is not None:
            self._replace(encoder.JSONEncoder, "default", self._encoding(encoder.JSONEncoder.default))
        logging = sys.modules.get("logging")
        if logging is not None:
            for name in _LEVELS:
                level = getattr(logging, name.upper())
                for place, method in ((logging.Logger, True), (vars(logging), False)):
                    real = place[name] if not method else getattr(place, name)
                    self._replace(place, name, self._logging(logging, level, real, method), True)
        return self

    def __exit__(self, *exc):
        for place, name, real in reversed(self.put):
            if isinstance(place, dict):
                place[name] = real
            elif isinstance(place, tuple):
                put(*place, real)
            else:
                setattr(place, name, real)
        if any(self.tape.written_since(t, when) for t, when in self.shown):
            self.tape.fail("a tensor is overwritten after it was printed")

    def _source(self, module, name, ours, held):
        """Put a function in the place of a module's, and wherever the call may find it: `held`, id of a function in C
        -> places."""
        scope = vars(module)
        real = scope[name]
        self.put.append((scope, name, real))
        scope[name] = ours
        for place in held.get(id(real), ()):
            if place[0] is not scope:
                self.put.append((place, None, real))
                put(*place, ours)

    def _listens(self):
        """Whether the call itself, being captured, is what asks for something."""
        return watch.listener is self.tape and get_ident() == self.thread and \
            not sys._getframe(2).f_code.co_filename.startswith(_HOME)

    def _replace(self, place, name, make, tells=False):
        real = place[name] if isinstance(place, dict) else getattr(place, name)
        self.put.append((place, name, real))
        ours = make() if isinstance(make, type(self._printing)) else make
        if tells:
            self.ends.add(ours)
        if isinstance(place, dict):
            place[name] = ours
        else:
            setattr(place, name, ours)

    def _known(self):
        """Whether the call itself is what tells something."""
        if get_ident() != self.thread or self.telling:
            return False
        if self.tape is not None and watch.listener is None:
            self.tape.fail("something that runs by itself prints")
        return watch.listener is self.tape

    def _tell(self, repeat, values):
        """``repeat(*values)``, now and after the program."""
        kept, listened = None, self.tape is not None
        if listened:
            try:
                kept = [self._kept(x) for x in values]
                values = kept
            except Unknown as e:
                self.tape.fail(str(e))
            values = [self._now(x) for x in values]
        outer, heard = watch.set_listener(None), hush()
        state.special -= listened
        self.telling = True
        try:
            repeat(*values)
        finally:
            self.telling = False
            state.special += listened
            watch.set_listener(outer)
            end(heard)
        if kept is not None:
            self.changes.append(Change("call", repeat, None, None, kept))

    def _copying(self):
        real = sys.modules["copy"].deepcopy

        def deepcopy(x, memo=None, _nil=()):
            if memo is not None or not self._known() or not _can_be_copied(x):
                return real(x) if memo is None else real(x, memo)
            heard = hush()
            try:
                return copied(x, {})
            finally:
                end(heard)
        return deepcopy

    def _encoding(self, real):
        def default(encoder, x):
            if not is_seen(x):
                return real(encoder, x)
            self.tape.fail("a number is written as JSON")
            return self.true(x)
        return default

    # ------------------------------------------------------------ print, loggers

    def _printing(self):
        def print(*values, sep=None, end=None, file=None, flush=False):
            if not self._known():
                return self.real(*values, sep=sep, end=end, file=file, flush=flush)
            name = "stderr" if file is sys.stderr and file is not None else "stdout"
            out = getattr(sys, name)
            if file is not None and file is not out or not _writes_only(out):
                if self.tape is not None:
                    self.tape.fail("print is called")
                return self.real(*map(self.true, values), sep=self.true(sep), end=self.true(end), file=file,
                                 flush=flush)
            if self.tape is not None:
                self.tape.condition(("of", f"type({{}}.{name})", [("number", sys)]), type(out), True)
            histories = [(i, type(x.grad_fn).__name__ if x.grad_fn is not None else None) for i, x in enumerate(values)
                         if isinstance(x, Tensor) and x.requires_grad]
            return self._tell(_Printed(self.real, name, self.true(sep), self.true(end), bool(flush), histories),
                              values)
        return print

    def _logging(self, logging, level, real, method):
        def log(*args, **more):
            logger = args[0] if method and args else logging.root
            values = args[1:] if method else args
            if not self._known() or not values or type(logger) not in (logging.Logger, logging.RootLogger):
                return real(*args, **more)
            if not method and not logger.handlers:
                logging.basicConfig()
            if more:
                if self.tape is not None:
                    self.tape.fail("a logger is called with more than a message")
                return real(*[self._now(x) for x in args], **more)
            frame = sys._getframe(1)
            while frame.f_back is not None and frame.f_code.co_filename == logging._srcfile:
                frame = frame.f_back
            where = frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name
            return self._tell(_Logged(logging, logger, level, where, method), values)
        return log

    # ------------------------------------------------------------ texts

    def mark(self, how, text):
        """A mark for `text`, a `Seen` that Python makes of a number by calling `how`; None where it may go anywhere."""
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename.startswith(_HOME):
            if frame.f_code.co_name not in _TEXTS and frame.f_code is not _FORMATTED:
                return None
            frame = frame.f_back
        if frame is None or get_ident() != self.thread or self.tape.failure is not None or \
                not self._goes_to_ends(frame, how):
            return None
        return self.marked(text)

    def _goes_to_ends(self, frame, how, code=None):
        """Whether a text goes to ends only that `frame` is about to get, from C code that called the method `how`, or
        from the Python function that `code` is of."""
        if frame is None or frame.f_code.co_filename.startswith(_HOME):
            # (what the call itself returns, is made anew of it)
            return frame is not None and (frame.f_code is Outside._kept.__code__ or frame.f_code is start.__code__)
        asked = Asked(frame.f_code, frame.f_globals, self._is_end, frame.f_locals, returned=lambda: self._goes_to_ends(
            frame.f_back, frame.f_code.co_name, frame.f_code), keeps=self.keeps)
        k = asked.instruction(frame.f_lasti)
        if k is None:
            return False
        i = asked.flow.all[k]
        if i.opname in ("CALL", "CALL_KW") and code is not None:
            taken = asked.flow.taken(k)
            if how == "<listcomp>" and asked.comprehends((k, 0)):
                return asked.value((k, 0))
            if how == "<genexpr>":
                # (another generator than the argument would show in the frame of that one's consumer)
                f = asked.called(taken)
                return type(getattr(f, "__self__", None)) is str and f.__name__ == "join" and len(taken) == 3 and \
                    taken[2] is not None and asked.comprehends(taken[2]) and asked.value((k, 0))
            f = asked.called(taken)
            if getattr(getattr(f, "__func__", f), "__code__", None) is code:
                return asked.value((k, 0))
        if how not in _TEXTS:
            return False
        if i.opname == "BINARY_OP":
            fits = how == "__mod__" and i.arg in _MODULOS
        elif i.opname == "FORMAT_VALUE":
            conversion, spec = i.arg & 3, i.arg & 4
            fits = how == "__format__" if conversion == 0 and spec else not spec
        elif i.opname in ("CALL", "CALL_KW", "CALL_FUNCTION_EX"):
            taken = asked.flow.taken(k)
            f = asked.called(taken)
            fits = i.opname == "CALL" and f is _TEXTS[how] and len(taken) <= 4 or how == "__format__" and puts_in(f)
        else:
            fits = i.opname in ("FORMAT_SIMPLE", "CONVERT_VALUE") or i.opname == "FORMAT_WITH_SPEC" and \
                how == "__format__"
        return fits and asked.value((k, 0))

    def _is_end(self, f):
        return getattr(f, "__func__", f) in self.ends

    def _kept(self, x, inner=False):
        """A value as it is now, to be told later."""
        if type(x) is str:
            return self.text(x)
        if is_seen(x) or isinstance(x, PLAIN):
            return x
        if type(x) in (list, tuple):
            return type(x)([self._kept(y, True) for y in x])
        if type(x) is dict:
            return {self._kept(k, True): self._kept(y, True) for k, y in x.items()}
        if isinstance(x, Tensor):
            if inner or type(x) is not Tensor or type(x._a) is not ndarray:
                raise Unknown("Python looks at the numbers of a tensor (print)")
            return self._tensor(x)
        if inner:
            raise Unknown(f"a {type(x).__name__} is printed")
        return self.text(str(x))

    def _tensor(self, x):
        """A tensor that stands for `x` in results: on the same memory, without a history."""
        shown = shallow(x)
        self.shown.append((shown, len(self.tape.steps)))
        return shown

    def _now(self, x):
        if type(x) in (list, tuple):
            return type(x)([self._now(y) for y in x])
        if type(x) is dict:
            return {self._now(k): self._now(y) for k, y in x.items()}
        return self.true(x)


def copied(x, memo):
    """``copy.deepcopy(x)`` of tensors and plain values in lists, dicts and tuples."""
    if isinstance(x, PLAIN) or is_seen(x):
        return x
    if id(x) not in memo:
        if type(x) is Tensor:
            memo[id(x)] = x.detach().clone()
        elif type(x) is tuple:
            new = tuple([copied(y, memo) for y in x])
            memo[id(x)] = x if all(a is b for a, b in zip(x, new)) else new
        elif type(x) is list:
            memo[id(x)] = [copied(y, memo) for y in x]
        else:
            memo[id(x)] = new = type(x)((k, copied(y, memo)) for k, y in x.items())
            if type(x) is OrderedDict:
                vars(new).update(copied(vars(x), memo))
    return memo[id(x)]


def _can_be_copied(x):
    """Whether `copied` does what ``copy.deepcopy`` would."""
    tensors, stack, seen = {}, [x], set()
    while stack:
        x = stack.pop()
        if type(x) in (list, tuple, dict, OrderedDict):
            if id(x) in seen:
                return False
            seen.add(id(x))
        if type(x) in (dict, OrderedDict):
            stack += [*x, *x.values(), *([vars(x)] if type(x) is OrderedDict else ())]
        elif type(x) in (list, tuple):
            stack += x
        elif type(x) is Tensor:
            if type(x._a) is not ndarray or x._requires_grad or x._bits or not x._a.flags.c_contiguous or \
                    x._a.nbytes != x._storage.nbytes or x.__dict__:
                return False
            tensors[id(x)] = id(x._storage.block())
        elif not (isinstance(x, PLAIN) or is_seen(x)):
            return False
    return len(set(tensors.values())) == len(tensors)           # (what shares memory goes on to do so)


class _Printed:
    """Prints as one call of `print` did."""

    __slots__ = ("real", "name", "sep", "end", "flush", "histories")

    def __init__(self, real, name, sep, end, flush, histories):
        self.real, self.name, self.sep, self.end, self.flush = real, name, sep, end, flush
        self.histories = histories      # (position, name of the node) of tensors that need gradients

    def __call__(self, *values):
        if self.histories:
            values = list(values)
            for i, node in self.histories:
                values[i] = shallow(values[i])
                values[i]._requires_grad = True
                values[i]._grad_fn = node and type(node, (Node,), {"__slots__": ()})()
        self.real(*values, sep=self.sep, end=self.end, flush=self.flush, file=getattr(sys, self.name))


class _Logged:
    """Logs as one call of a logger's method did, as from the same place."""

    __slots__ = ("logging", "logger", "level", "where", "method")

    def __init__(self, logging, logger, level, where, method):
        self.logging, self.logger, self.level, self.where, self.method = logging, logger, level, where, method

    def __call__(self, message, *args):
        logger = self.logger
        if not self.method and not logger.handlers:
            self.logging.basicConfig()
        if logger.isEnabledFor(self.level):
            file, line, name = self.where
            logger.handle(logger.makeRecord(logger.name, self.level, file, line, message, args, None, name))


def _writes_only(out):
    """Whether writing to a stream runs no Python that could look at what the call does."""
    return out is None or type(getattr(type(out), "write", None)) is MethodDescriptorType or \
        type(out).__module__.partition(".")[0] in ("ipykernel", "idlelib")
