"""LLVM IR of the caching allocator.

A block is described by a record ``{ptr data, i64 capacity, i64 requested, i64 class, ptr next}`` of
its own (64 bytes from malloc, kept as long as the block), so that the block itself is all data and
stays aligned. Records of free blocks hang in one singly linked list for each size class. A spin
lock guards the lists; the system is called outside of it.
"""

# Size classes from 2**16 up: eight to each power of two.
FIRST_POWER = 16
POWERS = 32
CLASSES = 8 * POWERS
HUGE_PAGE = 2 << 20

_PROT_READ_WRITE, _MAP_PRIVATE_ANONYMOUS, _MADV_HUGEPAGE = 3, 0x22, 14
_CARRAY = 0x0501  # NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_WRITEABLE


def allocator_ir(threshold: int, linux: bool, size_field: tuple[int, str], guard: str = "") -> str:
    """The module; arrays of fewer than ``threshold`` bytes are left to NumPy.

    ``size_field`` is where a ``PyArray_Descr`` has its item size: offset and LLVM type. ``guard``: blocks between pages
    without access, see ``runtime.guard``.
    """
    offset, size_type = size_field
    widen = "bitcast i64 %item0 to i64" if size_type == "i64" else f"sext {size_type} %item0 to i64"
    classes, system = _CLASSES, _SYSTEM_LINUX if linux else _SYSTEM_PORTABLE
    if guard:
        from rushlight.runtime.guard import guarded_blocks

        classes, system = _NO_CLASSES, guarded_blocks(guard == "before") + _SYSTEM_GUARDED
        threshold = 1 << 62
    return (
        (_STATE + _LISTS + classes + system + _BLOCKS + _ARRAYS)
        .replace("@@THRESHOLD", str(threshold))
        .replace("@@SIZE_OFFSET", str(offset))
        .replace("@@SIZE_TYPE", size_type)
        .replace("@@SIZE_WIDEN", widen)
        .replace("@@LIST_BYTES", str(8 * CLASSES))
        .replace("@@CLASSES", str(CLASSES))
        .replace("@@LAST", str(CLASSES - 1))
        .replace("@@FIRST", str(FIRST_POWER))
        .replace("@@HUGE_MASK", str(-HUGE_PAGE))
        .replace("@@HUGE1", str(HUGE_PAGE - 1))
        .replace("@@HUGE", str(HUGE_PAGE))
        .replace("@@PROT", str(_PROT_READ_WRITE))
        .replace("@@MAP", str(_MAP_PRIVATE_ANONYMOUS))
        .replace("@@MADV", str(_MADV_HUGEPAGE))
        .replace("@@CARRAY", str(_CARRAY))
    )


_STATE = """
%Block = type { ptr, i64, i64, i64, ptr }
@lock = internal global i32 0, align 128
@lists = internal global [@@CLASSES x ptr] zeroinitializer, align 128
; live, peak live, reserved, cached, blocks, allocations, system allocations
@stats = internal global [7 x i64] zeroinitializer, align 64
@limit = internal global i64 0
@capsule_name = internal constant [16 x i8] c"rushlight.block\\00"
@refused = internal constant [72 x i8]
  c"rushlight: can't allocate %zd bytes (%zd bytes are live, %zd cached)\\00\\00\\00\\00"
@usage = internal constant [35 x i8] c"empty() takes shape, dtype, nbytes\\00"
declare ptr @malloc(i64)
declare i32 @sched_yield()
declare i64 @llvm.ctlz.i64(i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare {i64, i1} @llvm.smul.with.overflow.i64(i64, i64)
"""

_LISTS = """
define internal void @lock_lists() {
entry:
  br label %try
try:
  %i = phi i32 [0, %entry], [%i1, %busy], [0, %yield]
  %p = cmpxchg ptr @lock, i32 0, i32 1 acquire monotonic
  %ok = extractvalue {i32, i1} %p, 1
  br i1 %ok, label %out, label %busy
busy:
  %i1 = add i32 %i, 1
  %long = icmp sgt i32 %i1, 100
  br i1 %long, label %yield, label %try
yield:
  %r = call i32 @sched_yield()
  br label %try
out:
  ret void
}

define internal void @unlock_lists() {
  store atomic i32 0, ptr @lock release, align 4
  ret void
}

; In a forked child. If a thread without the GIL was at the lists when the process forked, they
; can't be trusted.
define void @rl_alloc_child() {
entry:
  %held = load i32, ptr @lock
  %torn = icmp ne i32 %held, 0
  br i1 %torn, label %forget, label %out
forget:
  call void @llvm.memset.p0.i64(ptr @lists, i8 0, i64 @@LIST_BYTES, i1 false)
  %sp = getelementptr i64, ptr @stats, i64 3
  store i64 0, ptr %sp
  call void @unlock_lists()
  br label %out
out:
  ret void
}

define internal void @count(i64 %which, i64 %by) alwaysinline {
  %p = getelementptr i64, ptr @stats, i64 %which
  %v = load i64, ptr %p
  %w = add i64 %v, %by
  store i64 %w, ptr %p
  ret void
}
"""

_CLASSES = """
; Class of a size and the class's capacity. Beyond the last class: class -1, capacity rounded to
; huge pages.
define internal {i64, i64} @size_class(i64 %size) {
entry:
  %tiny = icmp slt i64 %size, 65537
  br i1 %tiny, label %first, label %some
first:
  %f0 = insertvalue {i64, i64} undef, i64 0, 0
  %f1 = insertvalue {i64, i64} %f0, i64 65536, 1
  ret {i64, i64} %f1
some:
  %s1 = sub i64 %size, 1
  %z = call i64 @llvm.ctlz.i64(i64 %s1, i1 true)
  %power = sub i64 63, %z
  %shift = sub i64 %power, 3
  %top = lshr i64 %s1, %shift
  %eighth = and i64 %top, 7
  %p0 = sub i64 %power, @@FIRST
  %p8 = mul i64 %p0, 8
  %c0 = add i64 %p8, %eighth
  %class = add i64 %c0, 1
  %top1 = add i64 %top, 1
  %capacity = shl i64 %top1, %shift
  %beyond = icmp sgt i64 %class, @@LAST
  br i1 %beyond, label %large, label %normal
normal:
  %n0 = insertvalue {i64, i64} undef, i64 %class, 0
  %n1 = insertvalue {i64, i64} %n0, i64 %capacity, 1
  ret {i64, i64} %n1
large:
  %r = add i64 %s1, @@HUGE
  %round = and i64 %r, @@HUGE_MASK
  %l0 = insertvalue {i64, i64} undef, i64 -1, 0
  %l1 = insertvalue {i64, i64} %l0, i64 %round, 1
  ret {i64, i64} %l1
}
"""

_SYSTEM_PORTABLE = """
declare i32 @posix_memalign(ptr, i64, i64)
declare void @free(ptr)
define internal ptr @system_alloc(i64 %size) noinline {
  %slot = alloca ptr
  store ptr null, ptr %slot
  %r = call i32 @posix_memalign(ptr %slot, i64 64, i64 %size)
  %ok = icmp eq i32 %r, 0
  %p = load ptr, ptr %slot
  %q = select i1 %ok, ptr %p, ptr null
  ret ptr %q
}
define internal void @system_free(ptr %p, i64 %size) noinline {
  call void @free(ptr %p)
  ret void
}
"""

# Below 2 MiB malloc's heap; from there mappings of our own, aligned and advised for huge pages.
_SYSTEM_LINUX = """
declare i32 @posix_memalign(ptr, i64, i64)
declare void @free(ptr)
declare ptr @mmap(ptr, i64, i32, i32, i32, i64)
declare i32 @munmap(ptr, i64)
declare i32 @madvise(ptr, i64, i32)
define internal ptr @system_alloc(i64 %size) noinline {
entry:
  %slot = alloca ptr
  %big = icmp sge i64 %size, @@HUGE
  br i1 %big, label %map, label %heap
heap:
  store ptr null, ptr %slot
  %r = call i32 @posix_memalign(ptr %slot, i64 64, i64 %size)
  %ok = icmp eq i32 %r, 0
  %p = load ptr, ptr %slot
  %q = select i1 %ok, ptr %p, ptr null
  ret ptr %q
map:
  %more = add i64 %size, @@HUGE
  %raw = call ptr @mmap(ptr null, i64 %more, i32 @@PROT, i32 @@MAP, i32 -1, i64 0)
  %at = ptrtoint ptr %raw to i64
  %bad = icmp eq i64 %at, -1
  br i1 %bad, label %refused, label %trim
refused:
  ret ptr null
trim:
  %up = add i64 %at, @@HUGE1
  %start = and i64 %up, @@HUGE_MASK
  %head = sub i64 %start, %at
  %has_head = icmp ne i64 %head, 0
  br i1 %has_head, label %cut_head, label %tail0
cut_head:
  %u1 = call i32 @munmap(ptr %raw, i64 %head)
  br label %tail0
tail0:
  %end = add i64 %start, %size
  %raw_end = add i64 %at, %more
  %tail = sub i64 %raw_end, %end
  %has_tail = icmp ne i64 %tail, 0
  br i1 %has_tail, label %cut_tail, label %advise
cut_tail:
  %end_p = inttoptr i64 %end to ptr
  %u2 = call i32 @munmap(ptr %end_p, i64 %tail)
  br label %advise
advise:
  %data = inttoptr i64 %start to ptr
  %u3 = call i32 @madvise(ptr %data, i64 %size, i32 @@MADV)
  ret ptr %data
}
define internal void @system_free(ptr %p, i64 %size) noinline {
entry:
  %big = icmp sge i64 %size, @@HUGE
  br i1 %big, label %unmap, label %heap
unmap:
  %u = call i32 @munmap(ptr %p, i64 %size)
  ret void
heap:
  call void @free(ptr %p)
  ret void
}
"""

# Blocks between pages without access are exactly as large as asked for, and never kept.
_NO_CLASSES = """
define internal {i64, i64} @size_class(i64 %size) {
  %l0 = insertvalue {i64, i64} undef, i64 -1, 0
  %l1 = insertvalue {i64, i64} %l0, i64 %size, 1
  ret {i64, i64} %l1
}
"""

_SYSTEM_GUARDED = """
declare void @free(ptr)
declare ptr @mmap(ptr, i64, i32, i32, i32, i64)
declare i32 @munmap(ptr, i64)
define internal ptr @system_alloc(i64 %size) noinline {
  %p = call ptr @guarded(i64 %size, i64 64, i8 -1)
  ret ptr %p
}
define internal void @system_free(ptr %p, i64 %size) noinline {
  call void @unguard(ptr %p)
  ret void
}
"""

_BLOCKS = """
; First free block of a class, out of its list; null when there is none. Lock held.
define internal ptr @pop(i64 %class) alwaysinline {
entry:
  %head = getelementptr ptr, ptr @lists, i64 %class
  %b = load ptr, ptr %head
  %none = icmp eq ptr %b, null
  br i1 %none, label %out, label %take
take:
  %np = getelementptr %Block, ptr %b, i32 0, i32 4
  %n = load ptr, ptr %np
  store ptr %n, ptr %head
  %cp = getelementptr %Block, ptr %b, i32 0, i32 1
  %c = load i64, ptr %cp
  %minus = sub i64 0, %c
  call void @count(i64 3, i64 %minus)
  br label %out
out:
  ret ptr %b
}

; Book a block as live for a request. Lock held.
define internal void @book(ptr %b, i64 %size) {
  %rp = getelementptr %Block, ptr %b, i32 0, i32 2
  store i64 %size, ptr %rp
  %cp = getelementptr %Block, ptr %b, i32 0, i32 1
  %c = load i64, ptr %cp
  call void @count(i64 0, i64 %size)
  call void @count(i64 2, i64 %c)
  call void @count(i64 4, i64 1)
  call void @count(i64 5, i64 1)
  %live = load i64, ptr @stats
  %pp = getelementptr i64, ptr @stats, i64 1
  %peak = load i64, ptr %pp
  %higher = icmp sgt i64 %live, %peak
  %new = select i1 %higher, i64 %live, i64 %peak
  store i64 %new, ptr %pp
  ret void
}

define ptr @rl_alloc(i64 %size) {
  %b = call ptr @obtain(i64 %size, i64 %size)
  ret ptr %b
}

define ptr @rl_scratch(i64 %size) {
  %b = call ptr @obtain(i64 %size, i64 0)
  ret ptr %b
}

; A block for %size bytes, of which the statistics count %counted.
define internal ptr @obtain(i64 %size, i64 %counted) {
entry:
  %negative = icmp slt i64 %size, 0
  br i1 %negative, label %refused, label %sized
sized:
  %sc = call {i64, i64} @size_class(i64 %size)
  %class = extractvalue {i64, i64} %sc, 0
  %capacity = extractvalue {i64, i64} %sc, 1
  %too_large = icmp slt i64 %capacity, %size
  br i1 %too_large, label %refused, label %listed
listed:
  %uncached = icmp slt i64 %class, 0
  br i1 %uncached, label %fresh, label %look
look:
  call void @lock_lists()
  %b1 = call ptr @pop(i64 %class)
  %hit = icmp ne ptr %b1, null
  br i1 %hit, label %found, label %next
next:
  %last = icmp eq i64 %class, @@LAST
  br i1 %last, label %miss, label %next1
next1:
  %class1 = add i64 %class, 1
  %b2 = call ptr @pop(i64 %class1)
  %hit2 = icmp ne ptr %b2, null
  br i1 %hit2, label %found, label %miss
found:
  %b = phi ptr [%b1, %look], [%b2, %next1]
  call void @book(ptr %b, i64 %counted)
  call void @unlock_lists()
  ret ptr %b
miss:
  call void @unlock_lists()
  br label %fresh
fresh:
  %p1 = call ptr @system_alloc(i64 %capacity)
  %ok1 = icmp ne ptr %p1, null
  br i1 %ok1, label %got, label %again
again:
  call void @rl_trim(i64 0)
  %p2 = call ptr @system_alloc(i64 %capacity)
  %ok2 = icmp ne ptr %p2, null
  br i1 %ok2, label %got, label %refused
got:
  %p = phi ptr [%p1, %fresh], [%p2, %again]
  %r = call ptr @malloc(i64 64)
  %ok3 = icmp ne ptr %r, null
  br i1 %ok3, label %record, label %give_up
record:
  store ptr %p, ptr %r
  %cp = getelementptr %Block, ptr %r, i32 0, i32 1
  store i64 %capacity, ptr %cp
  %kp = getelementptr %Block, ptr %r, i32 0, i32 3
  store i64 %class, ptr %kp
  call void @lock_lists()
  call void @book(ptr %r, i64 %counted)
  call void @count(i64 6, i64 1)
  call void @unlock_lists()
  ret ptr %r
give_up:
  call void @system_free(ptr %p, i64 %capacity)
  br label %refused
refused:
  ret ptr null
}

; When the cache is full, half of it makes room: what fills it may be of sizes no longer in use.
define void @rl_free(ptr %b) {
entry:
  %p = load ptr, ptr %b
  %cp = getelementptr %Block, ptr %b, i32 0, i32 1
  %c = load i64, ptr %cp
  %rp = getelementptr %Block, ptr %b, i32 0, i32 2
  %size = load i64, ptr %rp
  %kp = getelementptr %Block, ptr %b, i32 0, i32 3
  %class = load i64, ptr %kp
  %minus_size = sub i64 0, %size
  %minus_c = sub i64 0, %c
  call void @lock_lists()
  call void @count(i64 0, i64 %minus_size)
  call void @count(i64 2, i64 %minus_c)
  call void @count(i64 4, i64 -1)
  %limit = load i64, ptr @limit
  %half = lshr i64 %limit, 1
  %moderate = icmp sle i64 %c, %half
  %listed = icmp sge i64 %class, 0
  %keep = and i1 %moderate, %listed
  br i1 %keep, label %look, label %drop
look:
  %sp = getelementptr i64, ptr @stats, i64 3
  %cached = load i64, ptr %sp
  %then = add i64 %cached, %c
  %fits = icmp sle i64 %then, %limit
  br i1 %fits, label %push, label %full
full:
  call void @unlock_lists()
  call void @rl_trim(i64 %half)
  call void @lock_lists()
  br label %look
push:
  store i64 %then, ptr %sp
  %head = getelementptr ptr, ptr @lists, i64 %class
  %first = load ptr, ptr %head
  %np = getelementptr %Block, ptr %b, i32 0, i32 4
  store ptr %first, ptr %np
  store ptr %b, ptr %head
  call void @unlock_lists()
  ret void
drop:
  call void @unlock_lists()
  call void @system_free(ptr %p, i64 %c)
  call void @free(ptr %b)
  ret void
}

; Give cached blocks back to the system, the largest first, until at most %keep bytes are cached.
define void @rl_trim(i64 %keep) {
entry:
  br label %loop
loop:
  %class = phi i64 [@@LAST, %entry], [%class, %released], [%below, %none]
  call void @lock_lists()
  %sp = getelementptr i64, ptr @stats, i64 3
  %cached = load i64, ptr %sp
  %enough = icmp sle i64 %cached, %keep
  br i1 %enough, label %out, label %take
take:
  %b = call ptr @pop(i64 %class)
  call void @unlock_lists()
  %some = icmp ne ptr %b, null
  br i1 %some, label %released, label %none
released:
  %p = load ptr, ptr %b
  %cp = getelementptr %Block, ptr %b, i32 0, i32 1
  %c = load i64, ptr %cp
  call void @system_free(ptr %p, i64 %c)
  call void @free(ptr %b)
  br label %loop
none:
  %below = sub i64 %class, 1
  %more = icmp sge i64 %below, 0
  br i1 %more, label %loop, label %end
out:
  call void @unlock_lists()
  ret void
end:
  ret void
}

define void @rl_set_cache_limit(i64 %n) {
  store i64 %n, ptr @limit
  ret void
}

define void @rl_reset_peak() {
  call void @lock_lists()
  %live = load i64, ptr @stats
  %pp = getelementptr i64, ptr @stats, i64 1
  store i64 %live, ptr %pp
  call void @unlock_lists()
  ret void
}

define void @rl_memory_stats(ptr %out) {
entry:
  call void @lock_lists()
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%i1, %loop]
  %s = getelementptr i64, ptr @stats, i64 %i
  %v = load i64, ptr %s
  %d = getelementptr i64, ptr %out, i64 %i
  store i64 %v, ptr %d
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, 7
  br i1 %more, label %loop, label %done
done:
  call void @unlock_lists()
  ret void
}
"""

_ARRAYS = """
@rl_out_of_memory = external global i8
@PyExc_TypeError = external global ptr
@PyArray_Type = external global i8
declare ptr @PyCapsule_New(ptr, ptr, ptr)
declare ptr @PyCapsule_GetPointer(ptr, ptr)
declare ptr @PyErr_Format(ptr, ptr, ...)
declare void @PyErr_SetString(ptr, ptr)
declare ptr @PyErr_Occurred()
declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare i64 @PyTuple_Size(ptr)
declare ptr @PyTuple_GetItem(ptr, i64)
declare i64 @PyLong_AsSsize_t(ptr)
declare ptr @PyArray_NewFromDescr(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)
declare ptr @PyArray_Empty(i32, ptr, ptr, i32)
declare i32 @PyArray_SetBaseObject(ptr, ptr)

define internal void @release(ptr %capsule) {
  %b = call ptr @PyCapsule_GetPointer(ptr %capsule, ptr @capsule_name)
  call void @rl_free(ptr %b)
  ret void
}

define internal ptr @large_array(ptr %descr, i32 %nd, ptr %dims, i64 %nbytes) {
entry:
  %b = call ptr @rl_alloc(i64 %nbytes)
  %got = icmp ne ptr %b, null
  br i1 %got, label %wrap, label %refuse
refuse:
  %live = load i64, ptr @stats
  %sp = getelementptr i64, ptr @stats, i64 3
  %cached = load i64, ptr %sp
  %x = call ptr (ptr, ptr, ...) @PyErr_Format(
    ptr @rl_out_of_memory, ptr @refused, i64 %nbytes, i64 %live, i64 %cached)
  ret ptr null
wrap:
  %capsule = call ptr @PyCapsule_New(ptr %b, ptr @capsule_name, ptr @release)
  %ok = icmp ne ptr %capsule, null
  br i1 %ok, label %array, label %undo_block
undo_block:
  call void @rl_free(ptr %b)
  ret ptr null
array:
  %data = load ptr, ptr %b
  call void @Py_IncRef(ptr %descr)
  %a = call ptr @PyArray_NewFromDescr(ptr @PyArray_Type, ptr %descr, i32 %nd, ptr %dims,
    ptr null, ptr %data, i32 @@CARRAY, ptr null)
  %made = icmp ne ptr %a, null
  br i1 %made, label %base, label %undo_capsule
undo_capsule:
  call void @Py_DecRef(ptr %capsule)
  ret ptr null
base:
  %r = call i32 @PyArray_SetBaseObject(ptr %a, ptr %capsule)
  %bad = icmp slt i32 %r, 0
  br i1 %bad, label %undo_array, label %done
undo_array:
  call void @Py_DecRef(ptr %a)
  ret ptr null
done:
  ret ptr %a
}

define ptr @rl_new_array(ptr %descr, i32 %nd, ptr %dims) {
entry:
  %ep = getelementptr i8, ptr %descr, i64 @@SIZE_OFFSET
  %item0 = load @@SIZE_TYPE, ptr %ep
  %item = @@SIZE_WIDEN
  %n = zext i32 %nd to i64
  %none = icmp eq i32 %nd, 0
  br i1 %none, label %sized, label %loop
loop:
  %i = phi i64 [0, %entry], [%i1, %loop]
  %size = phi i64 [%item, %entry], [%size1, %loop]
  %dp = getelementptr i64, ptr %dims, i64 %i
  %d = load i64, ptr %dp
  %product = call {i64, i1} @llvm.smul.with.overflow.i64(i64 %size, i64 %d)
  %low = extractvalue {i64, i1} %product, 0
  %over = extractvalue {i64, i1} %product, 1
  %size1 = select i1 %over, i64 9223372036854775807, i64 %low
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %n
  br i1 %more, label %loop, label %sized
sized:
  %nbytes = phi i64 [%item, %entry], [%size1, %loop]
  %large = icmp sge i64 %nbytes, @@THRESHOLD
  br i1 %large, label %block, label %small
block:
  %a = call ptr @large_array(ptr %descr, i32 %nd, ptr %dims, i64 %nbytes)
  ret ptr %a
small:
  call void @Py_IncRef(ptr %descr)
  %s = call ptr @PyArray_Empty(i32 %nd, ptr %dims, ptr %descr, i32 0)
  ret ptr %s
}

; empty(shape, dtype, nbytes): what allocator.empty calls for large arrays.
define ptr @rl_empty(ptr %self, ptr %args, i64 %n) {
entry:
  %dims = alloca [64 x i64], align 16
  %three = icmp eq i64 %n, 3
  br i1 %three, label %unpack, label %misuse
misuse:
  %te = load ptr, ptr @PyExc_TypeError
  call void @PyErr_SetString(ptr %te, ptr @usage)
  ret ptr null
unpack:
  %shape = load ptr, ptr %args
  %p1 = getelementptr ptr, ptr %args, i64 1
  %descr = load ptr, ptr %p1
  %p2 = getelementptr ptr, ptr %args, i64 2
  %size = load ptr, ptr %p2
  %nd = call i64 @PyTuple_Size(ptr %shape)
  %nd_bad = icmp ugt i64 %nd, 64
  br i1 %nd_bad, label %bad_shape, label %loop
bad_shape:
  %occurred = call ptr @PyErr_Occurred()
  %set = icmp ne ptr %occurred, null
  br i1 %set, label %failed, label %misuse
failed:
  ret ptr null
loop:
  %i = phi i64 [0, %unpack], [%i1, %next]
  %more = icmp slt i64 %i, %nd
  br i1 %more, label %item, label %sizes
item:
  %o = call ptr @PyTuple_GetItem(ptr %shape, i64 %i)
  %d = call i64 @PyLong_AsSsize_t(ptr %o)
  %neg = icmp slt i64 %d, 0
  br i1 %neg, label %bad_shape, label %next
next:
  %dp = getelementptr i64, ptr %dims, i64 %i
  store i64 %d, ptr %dp
  %i1 = add i64 %i, 1
  br label %loop
sizes:
  %nbytes = call i64 @PyLong_AsSsize_t(ptr %size)
  %over = icmp slt i64 %nbytes, 0
  br i1 %over, label %bad_shape, label %make
make:
  %nd32 = trunc i64 %nd to i32
  %a = call ptr @large_array(ptr %descr, i32 %nd32, ptr %dims, i64 %nbytes)
  ret ptr %a
}
"""
