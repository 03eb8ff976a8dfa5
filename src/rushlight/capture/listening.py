"""Python's profiling events of the code that isn't ours: generated code drops the others, which are most.

    begin(event, home, calls)       ``event(frame, name, arg)`` from now on in this thread, as `sys.setprofile` has it,
                                    for ``call``, ``c_call``, ``c_return`` and ``c_exception``. Of code in files below
                                    `home` there are only ``call`` events, if `calls`
    end(outer)                      no longer; `outer`, what ``sys.getprofile()`` gave before, goes on
    Told                            what ``sys.getprofile()`` is meanwhile

Without native code all events come, and `event` has to look at the files by itself.
"""

import ctypes
import sys
from array import array
from types import CodeType, MemberDescriptorType

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
    address, at = _native()
    if not address:
        sys.setprofile(event)
        return
    text = ctypes.create_string_buffer(home.encode())
    table = array("q", [id(event), ctypes.addressof(text), at, _CALL if calls else _NEVER, 0,
                        *[0 if name is None else id(name) for name in _NAMES]])
    told = Told(table.buffer_info()[0])
    told.kept = event, text, table
    _set(address, told)


def end(outer):
    """See the module's text."""
    if type(outer) is Told:
        _set(_native()[0], outer)
    else:
        sys.setprofile(outer)


class Told(int):
    """The address of what native code has to know, which is kept."""


_set_profile = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.py_object)(("PyEval_SetProfile", ctypes.pythonapi))


def _set(address, told):
    _set_profile(address, told)
