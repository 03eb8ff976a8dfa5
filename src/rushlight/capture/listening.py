"""What Python calls in this thread, where the code isn't ours.

    begin(event, home, calls)       ``event(frame, name, arg)`` from now on, as `sys.setprofile` has it, for ``call``,
                                    ``c_call``, ``c_return`` and ``c_exception``; gives what `end` has to be given. Of
                                    code in files below `home` there are only ``call`` events, if `calls`
    hush()                          nobody listens until ``end`` of what it gives
    end(outer)                      as before

From Python 3.12 on `sys.monitoring` asks for events of the code that isn't ours only, so that ours runs as it does when
nobody listens. Before, they are profiling events, of which generated code drops ours. Without native code all events
come, and `event` has to look at the files by itself.
"""

import ctypes
import sys
from array import array
from threading import get_ident
from types import BuiltinFunctionType, CodeType, MemberDescriptorType, MethodDescriptorType

from ..runtime import native

_TEXT = """
declare ptr @PyFrame_GetCode(ptr)
declare ptr @PyUnicode_AsUTF8(ptr)
declare ptr @PyLong_AsVoidPtr(ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare void @Py_DecRef(ptr)
declare void @PyErr_Clear()
declare void @PyEval_SetProfile(ptr, ptr)
@_Py_NoneStruct = external global i8

define i32 @rl_listen(ptr %self, ptr %frame, i32 %what, ptr %arg) {
entry:
  %args = alloca [3 x ptr]
  %table = call ptr @PyLong_AsVoidPtr(ptr %self)
  %w = zext i32 %what to i64
  %named = getelementptr i64, ptr %table, i64 5
  %at = getelementptr i64, ptr %named, i64 %w
  %name = load ptr, ptr %at
  %dropped = icmp eq ptr %name, null
  br i1 %dropped, label %nothing, label %look
look:
  %p2 = getelementptr i64, ptr %table, i64 2
  %place = load i64, ptr %p2
  %code = call ptr @PyFrame_GetCode(ptr %frame)
  %slot = getelementptr i8, ptr %code, i64 %place
  %file = load ptr, ptr %slot
  %text = call ptr @PyUnicode_AsUTF8(ptr %file)
  call void @Py_DecRef(ptr %code)
  %p1 = getelementptr i64, ptr %table, i64 1
  %home = load ptr, ptr %p1
  %unknown = icmp eq ptr %text, null
  br i1 %unknown, label %odd, label %head
odd:
  call void @PyErr_Clear()
  br label %tell
head:
  %i = phi i64 [0, %look], [%i1, %more]
  %hp = getelementptr i8, ptr %home, i64 %i
  %h = load i8, ptr %hp
  %whole = icmp eq i8 %h, 0
  br i1 %whole, label %ours, label %more
more:
  %tp = getelementptr i8, ptr %text, i64 %i
  %t = load i8, ptr %tp
  %i1 = add i64 %i, 1
  %same = icmp eq i8 %t, %h
  br i1 %same, label %head, label %tell
ours:
  %p3 = getelementptr i64, ptr %table, i64 3
  %calls = load i64, ptr %p3
  %call = icmp eq i64 %calls, %w
  br i1 %call, label %tell, label %nothing
tell:
  %event = load ptr, ptr %table
  %none = icmp eq ptr %arg, null
  %given = select i1 %none, ptr @_Py_NoneStruct, ptr %arg
  store ptr %frame, ptr %args
  %a1 = getelementptr ptr, ptr %args, i64 1
  store ptr %name, ptr %a1
  %a2 = getelementptr ptr, ptr %args, i64 2
  store ptr %given, ptr %a2
  %result = call ptr @PyObject_Vectorcall(ptr %event, ptr %args, i64 3, ptr null)
  %failed = icmp eq ptr %result, null
  br i1 %failed, label %raise, label %drop
drop:
  call void @Py_DecRef(ptr %result)
  ret i32 0
raise:
  call void @PyEval_SetProfile(ptr null, ptr null)
  ret i32 -1
nothing:
  ret i32 0
}
"""

_NAMES = ("call", None, None, None, "c_call", "c_exception", "c_return", None)      # by PyTrace_CALL and so on
_CALL, _NEVER = 0, -1
_found = []                             # (address, where a code object has its file), once asked for


def _native():
    if not _found:
        place = CodeType.__dict__.get("co_filename")
        address, at = 0, 0
        if native.available() and type(place) is MemberDescriptorType:
            from ..ops.native.install import offset
            at = offset(CodeType, "co_filename")
            code = _native.__code__
            if ctypes.c_void_p.from_address(id(code) + at).value == id(code.co_filename):
                address = native.load("listening", _TEXT, ["rl_listen"])["rl_listen"]
        _found.append((address, at))
    return _found[0]


def begin(event, home, calls):
    """See the module's text."""
    if _monitoring is not None:
        ear = _Ear(event, home, calls)
        if ear.tool is not None:
            outer, _ears[:] = list(_ears), [ear]
            return outer
    outer = sys.getprofile()
    address, at = _native()
    if not address:
        sys.setprofile(event)
        return outer
    text = ctypes.create_string_buffer(home.encode())
    table = array("q", [id(event), ctypes.addressof(text), at, _CALL if calls else _NEVER, 0,
                        *[0 if name is None else id(name) for name in _NAMES]])
    told = Told(table.buffer_info()[0])
    told.kept = event, text, table
    _set(address, told)
    return outer


def hush():
    """See the module's text."""
    if _ears:
        outer, _ears[:] = list(_ears), ()
        return outer
    outer = sys.getprofile()
    if outer is not None:
        sys.setprofile(None)
    return outer


def end(outer):
    """See the module's text."""
    if type(outer) is list:
        if _ears and _ears[0] not in outer:
            _ears[0].close()
        _ears[:] = outer
    elif type(outer) is Told:
        _set(_native()[0], outer)
    elif outer is not None or sys.getprofile() is not None:
        sys.setprofile(outer)


class Told(int):
    """The address of what native code has to know, which is kept: what ``sys.getprofile()`` is meanwhile."""


_set_profile = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.py_object)(("PyEval_SetProfile", ctypes.pythonapi))


def _set(address, told):
    _set_profile(address, told)


# ---------------------------------------------------------------- Python 3.12 and later

_monitoring = getattr(sys, "monitoring", None)
_ears = []                              # the one that listens, if any
_tool = []                              # the number by which Python knows us, once it was asked for


def _number():
    """Ours among the numbers of tools, None if all were taken. It is kept: code that was told to be silent stays so."""
    if not _tool:
        tool = next((i for i in (4, 3, 5, 2, 1, 0) if _monitoring.get_tool(i) is None), None)
        if tool is None:
            return None
        _monitoring.use_tool_id(tool, __name__)
        _tool.append(tool)
    return _tool[0]


class _Ear:
    """Asks all code for its calls, until each has told whose it is: users' then tells what it calls, ours is let be."""

    def __init__(self, event, home, calls):
        self.event, self.home, self.calls, self.thread = event, home, calls, get_ident()
        self.codes = {}                 # id(code) -> code that tells what it calls
        self.tool = tool = _number()
        if tool is not None:
            if calls:
                _monitoring.restart_events()    # (ours was told to be silent)
            for which, heard in self.heard():
                _monitoring.register_callback(tool, which, heard)
            events = _monitoring.events
            _monitoring.set_events(tool, events.PY_START | events.PY_RESUME | events.PY_THROW)

    def heard(self):
        """(event, who is told) of all events."""
        events = _monitoring.events
        return ((events.PY_START, self.started), (events.PY_RESUME, self.started), (events.PY_THROW, self.threw),
                (events.CALL, self.asks), (events.C_RETURN, self.answered), (events.C_RAISE, self.failed))

    def close(self):
        """Nobody asks for events any more."""
        _monitoring.set_events(self.tool, 0)
        for code in self.codes.values():
            _monitoring.set_local_events(self.tool, code, 0)
        for which, _ in self.heard():
            _monitoring.register_callback(self.tool, which, None)

    def started(self, code, at):
        """Code begins, or goes on as a generator."""
        file = code.co_filename
        if file.startswith("<frozen importlib"):
            return _monitoring.DISABLE          # (imports are let be)
        if file.startswith(self.home):
            if not self.calls:
                return _monitoring.DISABLE
        elif id(code) not in self.codes:
            self.codes[id(code)] = code
            _monitoring.set_local_events(self.tool, code, _monitoring.events.CALL)
        if _ears and get_ident() == self.thread:
            self.event(sys._getframe(1), "call", None)
        return None

    def threw(self, code, at, error):
        """A generator is given an exception (which can't be told from others by where it happens)."""
        self.started(code, at)

    def asks(self, code, at, function, first):
        """Something is called: told if it is a function in C."""
        self.tell("c_call", function, first)

    def answered(self, code, at, function, first):
        """What was called has returned."""
        self.tell("c_return", function, first)

    def failed(self, code, at, function, first):
        """What was called has raised an exception."""
        self.tell("c_exception", function, first)

    def tell(self, name, function, first):
        """Tell of a function in C as `sys.setprofile` would: of a bound method where its class was asked for it."""
        kind = type(function)
        if kind is MethodDescriptorType and first is not _monitoring.MISSING:
            function = function.__get__(first, type(first))
        elif kind is not BuiltinFunctionType:
            return
        if _ears and get_ident() == self.thread:
            self.event(sys._getframe(2), name, function)
