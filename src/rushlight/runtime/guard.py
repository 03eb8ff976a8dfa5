"""Arrays between pages that nobody may touch: a debugging aid, `RUSHLIGHT_GUARD=after` or `RUSHLIGHT_GUARD=before`.

Every array that NumPy or the allocator makes (in the thread that imports Rushlight), and all working memory of
kernels, is then a mapping of its own. With `after` (or `1`) its last byte is the last of a page, behind which comes a
page without access: a kernel that reads or writes beyond the end faults at once; the beginning is as unaligned as the
size makes it. With `before` its first byte is a page's first, behind a page without access. New memory is filled with
bytes 0xff (NaN, -1), so that results that depend on it show. The rest of the array's pages has a pattern, which is
checked when the array is freed: damage to it ends the process with a message. Memory is unmapped when it is freed, so
use after that faults, too.

Arrays of 64 KiB and more aren't counted by ``memory_stats`` then. Linux only; a process can have some 16,000 such
arrays. `python -X faulthandler` shows which call a fault is in.
"""

import ctypes
import os

_SET_HANDLER = 304      # entry of NumPy's C API
_NAMES = ("rl_guard_malloc", "rl_guard_calloc", "rl_guard_realloc", "rl_guard_free")


class _Handler(ctypes.Structure):
    """NumPy's PyDataMem_Handler."""

    _fields_ = [("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("context", ctypes.c_void_p),
                ("malloc", ctypes.c_void_p), ("calloc", ctypes.c_void_p), ("realloc", ctypes.c_void_p),
                ("free", ctypes.c_void_p)]


def mode() -> str:
    """"after", "before", or "" without RUSHLIGHT_GUARD; raises ValueError for another word."""
    word = os.environ.get("RUSHLIGHT_GUARD", "")
    if word not in ("", "0", "1", "after", "before"):
        raise ValueError(f"RUSHLIGHT_GUARD: {word!r} is neither after nor before")
    return "after" if word == "1" else "" if word == "0" else word


def install() -> None:
    """Let NumPy make this thread's arrays so; nothing where there is no mode."""
    import numpy as np

    from rushlight.runtime import native

    if not mode() or not native.available():
        return
    addresses = native.load(f"guard {mode()}", lambda: guard_ir(mode() == "before"), _NAMES)
    handler = native.immortal(_Handler(b"rushlight.guard", 1, None, *(addresses[name] for name in _NAMES)))
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    capsule = native.immortal(new(ctypes.addressof(handler), native.immortal(b"mem_handler"), None))
    core = np._core if hasattr(np, "_core") else np.core
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = pointer(core._multiarray_umath._ARRAY_API, None)
    address = ctypes.c_void_p.from_address(table + 8 * _SET_HANDLER).value
    ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(address)(capsule)


def guard_ir(before: bool) -> str:
    """The functions of NumPy's handler, and what the allocator's module uses of them."""
    return _DECLARATIONS + guarded_blocks(before) + _HANDLER


_DECLARATIONS = """
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare {i64, i1} @llvm.umul.with.overflow.i64(i64, i64)
declare ptr @mmap(ptr, i64, i32, i32, i32, i64)
declare i32 @munmap(ptr, i64)
"""


def guarded_blocks(before: bool) -> str:
    """`guarded(size, alignment, fill)` and `unguard(data)`; needs memset, mmap and munmap declared."""
    return _BLOCKS.replace("@@START", "%first" if before else "%last")


# A mapping: a page with its sizes, one without access, the data's pages, one without access.
_BLOCKS = """
declare i32 @mprotect(ptr, i64, i32)
declare i64 @write(i32, ptr, i64)
declare void @abort() noreturn
@damaged = internal constant [49 x i8] c"rushlight: bytes next to an array were written.\\0A\\00"

define internal ptr @guarded(i64 %size, i64 %alignment, i8 %fill) noinline {
entry:
  %huge = icmp ugt i64 %size, 1000000000000000
  br i1 %huge, label %refused, label %sized
sized:
  %none = icmp eq i64 %size, 0
  %some = select i1 %none, i64 1, i64 %size
  %up = add i64 %some, %alignment
  %up1 = sub i64 %up, 1
  %mask = sub i64 0, %alignment
  %n = and i64 %up1, %mask
  %p1 = add i64 %n, 4095
  %pages = and i64 %p1, -4096
  %total = add i64 %pages, 12288
  %raw = call ptr @mmap(ptr null, i64 %total, i32 3, i32 34, i32 -1, i64 0)
  %at = ptrtoint ptr %raw to i64
  %bad = icmp eq i64 %at, -1
  br i1 %bad, label %refused, label %made
refused:
  ret ptr null
made:
  %front = getelementptr i8, ptr %raw, i64 4096
  %m1 = call i32 @mprotect(ptr %front, i64 4096, i32 0)
  %first = getelementptr i8, ptr %raw, i64 8192
  %behind = getelementptr i8, ptr %first, i64 %pages
  %m2 = call i32 @mprotect(ptr %behind, i64 4096, i32 0)
  %m12 = or i32 %m1, %m2
  %unprotected = icmp ne i32 %m12, 0
  br i1 %unprotected, label %undo, label %place
undo:
  %u = call i32 @munmap(ptr %raw, i64 %total)
  ret ptr null
place:
  %slack = sub i64 %pages, %n
  %last = getelementptr i8, ptr %first, i64 %slack
  call void @llvm.memset.p0.i64(ptr %first, i8 -89, i64 %pages, i1 false)
  call void @llvm.memset.p0.i64(ptr @@START, i8 %fill, i64 %some, i1 false)
  store i64 %total, ptr %raw
  %sp = getelementptr i64, ptr %raw, i64 1
  store i64 %some, ptr %sp
  ret ptr @@START
}

define internal i64 @guarded_size(ptr %data) {
  %at = ptrtoint ptr %data to i64
  %page = and i64 %at, -4096
  %head = sub i64 %page, 8192
  %raw = inttoptr i64 %head to ptr
  %sp = getelementptr i64, ptr %raw, i64 1
  %size = load i64, ptr %sp
  ret i64 %size
}

define internal void @intact(ptr %p, ptr %end) noinline {
entry:
  br label %loop
loop:
  %q = phi ptr [%p, %entry], [%next, %same]
  %done = icmp eq ptr %q, %end
  br i1 %done, label %out, label %look
look:
  %b = load i8, ptr %q
  %ok = icmp eq i8 %b, -89
  br i1 %ok, label %same, label %report
same:
  %next = getelementptr i8, ptr %q, i64 1
  br label %loop
report:
  %w = call i64 @write(i32 2, ptr @damaged, i64 48)
  call void @abort()
  unreachable
out:
  ret void
}

define internal void @unguard(ptr %data) noinline {
  %at = ptrtoint ptr %data to i64
  %page = and i64 %at, -4096
  %first = inttoptr i64 %page to ptr
  %head = sub i64 %page, 8192
  %raw = inttoptr i64 %head to ptr
  %total = load i64, ptr %raw
  %size = call i64 @guarded_size(ptr %data)
  call void @intact(ptr %first, ptr %data)
  %end = getelementptr i8, ptr %data, i64 %size
  %e0 = add i64 %head, %total
  %e1 = sub i64 %e0, 4096
  %behind = inttoptr i64 %e1 to ptr
  call void @intact(ptr %end, ptr %behind)
  %u = call i32 @munmap(ptr %raw, i64 %total)
  ret void
}
"""

_HANDLER = """
define ptr @rl_guard_malloc(ptr %context, i64 %size) {
  %p = call ptr @guarded(i64 %size, i64 1, i8 -1)
  ret ptr %p
}

define ptr @rl_guard_calloc(ptr %context, i64 %n, i64 %item) {
  %product = call {i64, i1} @llvm.umul.with.overflow.i64(i64 %n, i64 %item)
  %low = extractvalue {i64, i1} %product, 0
  %over = extractvalue {i64, i1} %product, 1
  %size = select i1 %over, i64 -1, i64 %low
  %p = call ptr @guarded(i64 %size, i64 1, i8 0)
  ret ptr %p
}

define ptr @rl_guard_realloc(ptr %context, ptr %old, i64 %size) {
entry:
  %new = call ptr @guarded(i64 %size, i64 1, i8 -1)
  %refused = icmp eq ptr %new, null
  %fresh = icmp eq ptr %old, null
  %nothing = or i1 %refused, %fresh
  br i1 %nothing, label %out, label %move
move:
  %before = call i64 @guarded_size(ptr %old)
  %shorter = icmp ult i64 %size, %before
  %n = select i1 %shorter, i64 %size, i64 %before
  call void @llvm.memcpy.p0.p0.i64(ptr %new, ptr %old, i64 %n, i1 false)
  call void @unguard(ptr %old)
  br label %out
out:
  ret ptr %new
}

define void @rl_guard_free(ptr %context, ptr %data, i64 %size) {
entry:
  %none = icmp eq ptr %data, null
  br i1 %none, label %out, label %some
some:
  call void @unguard(ptr %data)
  br label %out
out:
  ret void
}
"""
