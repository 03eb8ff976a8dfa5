"""A list of places in dicts, lists, cells and slots with the objects they hold, checked by generated code.

    check = Places([(container, how, key, value), ...])         (see `reach.State.entries`)
                    (object, "member", bytes, value)            the slot that many bytes after the object's begin
    check()         True: every place holds the very object it held; False: some may not

Nothing in a place, `places.MISSING`, is held as objects are.
"""

from array import array

from ..runtime.native import available
from ..tensor.storage import Storage
from ..tensor.tensor import Tensor
from .places import MISSING, look

ITEM, INDEX, LENGTH, CELL, MEMBER = range(5)

_TEXT = """
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare ptr @PyList_GetItem(ptr, i64)
declare i64 @PyObject_Size(ptr)
declare ptr @PyCell_Get(ptr)
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyLong_AsVoidPtr(ptr)
declare void @PyErr_Clear()
@_Py_TrueStruct = external global i8
@_Py_FalseStruct = external global i8

define ptr @rl_places(ptr %self, ptr %args, i64 %n) {
entry:
  %first = load ptr, ptr %args
  %table = call ptr @PyLong_AsVoidPtr(ptr %first)
  %count = load i64, ptr %table
  %start = getelementptr i8, ptr %table, i64 8
  br label %head
head:
  %i = phi i64 [0, %entry], [%i1, %next]
  %at = phi ptr [%start, %entry], [%at1, %next]
  %more = icmp slt i64 %i, %count
  br i1 %more, label %body, label %same
body:
  %kind = load i64, ptr %at
  %p1 = getelementptr i8, ptr %at, i64 8
  %container = load ptr, ptr %p1
  %p2 = getelementptr i8, ptr %at, i64 16
  %key = load i64, ptr %p2
  %p3 = getelementptr i8, ptr %at, i64 24
  %value = load i64, ptr %p3
  switch i64 %kind, label %different [
    i64 0, label %item
    i64 1, label %index
    i64 2, label %length
    i64 3, label %cell
    i64 4, label %member
  ]
item:
  %k = inttoptr i64 %key to ptr
  %a = call ptr @PyDict_GetItemWithError(ptr %container, ptr %k)
  %ai = ptrtoint ptr %a to i64
  br label %compare
index:
  %b = call ptr @PyList_GetItem(ptr %container, i64 %key)
  %bi = ptrtoint ptr %b to i64
  br label %compare
length:
  %c = call i64 @PyObject_Size(ptr %container)
  br label %compare
cell:
  %e = call ptr @PyCell_Get(ptr %container)
  %ei = ptrtoint ptr %e to i64
  call void @Py_DecRef(ptr %e)
  br label %compare
member:
  %slot = getelementptr i8, ptr %container, i64 %key
  %mi = load i64, ptr %slot
  br label %compare
compare:
  %now = phi i64 [%ai, %item], [%bi, %index], [%c, %length], [%ei, %cell], [%mi, %member]
  %equal = icmp eq i64 %now, %value
  br i1 %equal, label %next, label %different
next:
  %i1 = add i64 %i, 1
  %at1 = getelementptr i8, ptr %at, i64 32
  br label %head
same:
  call void @Py_IncRef(ptr @_Py_TrueStruct)
  ret ptr @_Py_TrueStruct
different:
  call void @PyErr_Clear()
  call void @Py_IncRef(ptr @_Py_FalseStruct)
  ret ptr @_Py_FalseStruct
}
"""


def _function():
    from ..runtime import native
    found = native.load("places", _TEXT, ["rl_places"])
    return native.callable_from(found["rl_places"], "rl_places")


_check = None


def members(memory, gradients):
    """A check of older tensors, or None without native code: each of `memory` (tensor, storage, owner, whether it needs
    gradients) is as it was, with the same hooks, and each leaf of `gradients` has its gradient."""
    from ..ops.native import install
    if not install.ready():
        return None
    of = {name: install.offset(cls, name) for cls, names in (
        (Tensor, ("_storage", "_requires_grad", "_meta", "_grad")), (Storage, ("owner",))) for name in names}
    entries = []
    for t, storage, owner, needs in memory:
        entries += [(t, "member", of["_storage"], storage), (storage, "member", of["owner"], owner),
                    (t, "member", of["_requires_grad"], needs)]
        if needs:
            entries.append((t, "member", of["_meta"], t._meta))         # (hooks)
    return Places(entries + [(leaf, "member", of["_grad"], g) for leaf, g in gradients])


def identical(entries):
    """A check of places as `Places` is, also without native code and for slots of objects."""
    if available() and not has_slots(entries):
        return Places(entries)
    return lambda: all(now is value or how == "length" and now == value for now, how, value in (
        (look(container, how, key), how, value) for container, how, key, value in entries))


def has_slots(entries):
    """Whether slots of objects are among the places, which generated code doesn't know."""
    return any(how == "slot" for _, how, _, _ in entries)


class Places:
    """See the module's text; keeps the objects alive."""

    __slots__ = ("table", "address", "entries")

    def __init__(self, entries):
        global _check
        if _check is None:
            _check = _function()
        self.entries = entries
        words = [len(entries)]
        # Lengths first: an index beyond the end isn't looked at.
        for container, how, key, value in sorted(entries, key=lambda e: e[1] != "length"):
            held = id(value) if value is not MISSING else 0
            if how == "item":
                words += [ITEM, id(container), id(key), held]
            elif how == "index":
                words += [INDEX, id(container), key, held]
            elif how == "length":
                words += [LENGTH, id(container), 0, value]
            elif how == "member":
                words += [MEMBER, id(container), key, held]
            else:
                words += [CELL, id(container), 0, held]
        self.table = array("q", words)
        self.address = self.table.buffer_info()[0]

    def __call__(self):
        return _check(self.address)
