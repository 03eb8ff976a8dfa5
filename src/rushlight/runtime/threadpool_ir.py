"""LLVM IR of the thread pool.

The protocol. A caller that gets the job lock writes the job, opens it, bumps the generation (the
workers' futex word) and works on tiles. The tiles are cut into parts, one a thread, and each thread begins with
its own: from one job to the next a thread meets the same memory again, in its own cache. Who is through takes from the
others' parts. Workers that see a new generation announce themselves in
``active`` and *then* look whether the job is open; the caller closes the job and *then* waits for
``active`` to be 0. Both are sequentially consistent, so either the worker sees the job closed or
the caller waits for it; nobody waits for workers that are still asleep. The caller wakes two
sleepers and every woken worker two more, as long as there are tiles.
"""

from rushlight.runtime import cpu

# Linux system calls and constants, by instruction set.
_SYS_FUTEX = {"x86_64": 202, "aarch64": 98}
_SYS_GETTID = {"x86_64": 186, "aarch64": 178}
_FUTEX_WAIT_PRIVATE, _FUTEX_WAKE_PRIVATE = 128, 129
_SIG_SETMASK = 2
_PR_SET_NAME = 15

PARTS = 8               # most parts of a job's tiles: each costs its caller a cache line


def pool_ir(threads: bool) -> str:
    """The module; without ``threads`` it only has the serial path (no futexes, no pthreads)."""
    x86 = cpu.machine() == "x86_64"
    arm = cpu.machine() == "aarch64"
    pause = "call void @llvm.x86.sse2.pause()" if x86 else ""
    if arm:
        pause = "call void @llvm.aarch64.hint(i32 1)"
    save_fp = "call void @llvm.x86.sse.stmxcsr(ptr @job_fp)" if x86 else ""
    load_fp = "call void @llvm.x86.sse.ldmxcsr(ptr @job_fp)" if x86 else ""
    number = _SYS_FUTEX.get(cpu.machine(), 0)
    if threads:
        futex = f"""
define internal void @futex_wait(ptr %word, i32 %value) noinline {{
  %r = call i64 (i64, ...) @syscall(
    i64 {number}, ptr %word, i32 {_FUTEX_WAIT_PRIVATE}, i32 %value, ptr null)
  ret void
}}
define internal void @futex_wake(ptr %word, i32 %count) noinline {{
  %r = call i64 (i64, ...) @syscall(
    i64 {number}, ptr %word, i32 {_FUTEX_WAKE_PRIVATE}, i32 %count)
  ret void
}}
declare i64 @syscall(i64, ...)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
declare i32 @pthread_sigmask(i32, ptr, ptr)
declare i32 @prctl(i32, ...)
declare i32 @sched_getcpu()
declare i32 @sched_getaffinity(i32, i64, ptr)
declare i32 @sched_setaffinity(i32, i64, ptr)
"""
        start, join = _START.replace("@@GETTID", str(_SYS_GETTID[cpu.machine()])), _JOIN
    else:
        futex = """
define internal void @futex_wait(ptr %word, i32 %value) { ret void }
define internal void @futex_wake(ptr %word, i32 %count) { ret void }
"""
        start, join = "", ""
    return (
        _STATE.replace("@@PARTS", str(PARTS))
        + (_X86 if x86 else "")
        + ("declare void @llvm.aarch64.hint(i32)\n" if arm else "")
        + futex
        + _COMMON.replace("@@PAUSE", pause)
        .replace("@@PARTS", str(PARTS))
        .replace("@@SAVE_FP", save_fp)
        .replace("@@LOAD_FP", load_fp)
        .replace("@@SPREAD", "call void @spread()" if threads else "")
        .replace("@@START", "call void @start_workers()\n  call void @spread()" if threads else "")
        .replace("@@JOIN", "call void @join_workers()" if threads else "")
        + start.replace("@@SIG", str(_SIG_SETMASK)).replace("@@NAME", str(_PR_SET_NAME))
        + join
    )


# Words that different threads write often have cache lines (64 bytes; 128 with the neighbour) of
# their own.
_STATE = """
@lock = internal global i32 0, align 128
@started = internal global i32 0, align 128
@workers = internal global i32 0
@threads = internal global i32 1
@stop = internal global i32 0
@spins = internal global i64 1000
@job_task = internal global ptr null, align 128
@job_ctx = internal global ptr null
@job_tiles = internal global i64 0
@job_chunk = internal global i64 1
@job_fp = internal global i32 0
@job_parts = internal global i64 1
@next = internal global [@@PARTS x [16 x i64]] zeroinitializer, align 128
@open = internal global i32 0, align 128
@active = internal global i32 0, align 128
@waiting = internal global i32 0
@generation = internal global i32 0, align 128
@sleepers = internal global i32 0, align 128
@ids = internal global [1024 x i64] zeroinitializer, align 128
@tids = internal global [1024 x i32] zeroinitializer, align 128
@cpus = internal global [16 x i64] zeroinitializer, align 64
@kept_free = internal global i32 -1
@name = internal constant [10 x i8] c"rushlight\\00"
declare i32 @sched_yield()
"""

_X86 = """
declare void @llvm.x86.sse2.pause()
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
"""

_COMMON = """
define void @rl_pool_spin(i64 %n) noinline {
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%i1, %loop]
  @@PAUSE
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, %n
  br i1 %more, label %loop, label %out
out:
  ret void
}

define internal i1 @try_lock() {
  %p = cmpxchg ptr @lock, i32 0, i32 1 acquire monotonic
  %ok = extractvalue {i32, i1} %p, 1
  ret i1 %ok
}

define void @rl_pool_lock() {
entry:
  br label %try
try:
  %ok = call i1 @try_lock()
  br i1 %ok, label %out, label %wait
wait:
  call void @rl_pool_spin(i64 20)
  %r = call i32 @sched_yield()
  br label %try
out:
  ret void
}

define void @rl_pool_unlock() {
  store atomic i32 0, ptr @lock release, align 4
  ret void
}

; Where the parts of the open job begin.
define internal i64 @part(i64 %r, i64 %tiles, i64 %parts) {
  %p = mul i64 %r, %tiles
  %b = udiv i64 %p, %parts
  ret i64 %b
}

; Tiles of the open job until none is left, those of part %me first.
define internal void @work(i64 %me) {
entry:
  %task = load ptr, ptr @job_task
  %ctx = load ptr, ptr @job_ctx
  %tiles = load i64, ptr @job_tiles
  %chunk = load i64, ptr @job_chunk
  %parts = load i64, ptr @job_parts
  %own = urem i64 %me, %parts
  br label %part
part:
  %q = phi i64 [0, %entry], [%q1, %through]
  %all = icmp eq i64 %q, %parts
  br i1 %all, label %out, label %enter
enter:
  %sum = add i64 %own, %q
  %r = urem i64 %sum, %parts
  %r1 = add i64 %r, 1
  %last = call i64 @part(i64 %r1, i64 %tiles, i64 %parts)
  %next = getelementptr [16 x i64], ptr @next, i64 %r
  br label %take
take:
  %begin = atomicrmw add ptr %next, i64 %chunk monotonic
  %some = icmp slt i64 %begin, %last
  br i1 %some, label %do, label %through
do:
  %e = add i64 %begin, %chunk
  %over = icmp slt i64 %last, %e
  %end = select i1 %over, i64 %last, i64 %e
  call void %task(ptr %ctx, i64 %begin, i64 %end)
  br label %take
through:
  %q1 = add i64 %q, 1
  br label %part
out:
  ret void
}

define void @rl_parallel_for(ptr %task, ptr %ctx, i64 %count) {
entry:
  %threads = load atomic i32, ptr @threads monotonic, align 4
  %light = icmp slt i64 %count, 0
  %without = sub i64 0, %count
  %tiles = select i1 %light, i64 %without, i64 %count
  %sleeping = load atomic i32, ptr @sleepers monotonic, align 4
  %there = load atomic i32, ptr @started monotonic, align 4
  %drowsy = icmp ne i32 %sleeping, 0
  %absent = icmp eq i32 %there, 0
  %nobody = or i1 %drowsy, %absent
  %alone = and i1 %light, %nobody
  %one = icmp sle i32 %threads, 1
  %few = icmp sle i64 %tiles, 1
  %single = or i1 %one, %few
  %simple = or i1 %single, %alone
  br i1 %simple, label %serial, label %try
serial:
  %none = icmp sle i64 %tiles, 0
  br i1 %none, label %done, label %run
run:
  call void %task(ptr %ctx, i64 0, i64 %tiles)
  br label %done
done:
  ret void
try:
  %ok = call i1 @try_lock()
  br i1 %ok, label %locked, label %serial
locked:
  %up = load i32, ptr @started
  %ready = icmp ne i32 %up, 0
  br i1 %ready, label %go, label %start
start:
  @@START
  store i32 1, ptr @started
  br label %go
go:
  store ptr %task, ptr @job_task
  store ptr %ctx, ptr @job_ctx
  store i64 %tiles, ptr @job_tiles
  %wide = zext i32 %threads to i64
  %parts = mul i64 %wide, 32
  %c = udiv i64 %tiles, %parts
  %small = icmp eq i64 %c, 0
  %chunk = select i1 %small, i64 1, i64 %c
  store i64 %chunk, ptr @job_chunk
  @@SAVE_FP
  %most = icmp ult i64 %wide, @@PARTS
  %fit = select i1 %most, i64 %wide, i64 @@PARTS
  %less = icmp ult i64 %tiles, %fit
  %cut = select i1 %less, i64 %tiles, i64 %fit
  store i64 %cut, ptr @job_parts
  br label %lay
lay:
  %r = phi i64 [0, %go], [%r1, %lay]
  %first = call i64 @part(i64 %r, i64 %tiles, i64 %cut)
  %place = getelementptr [16 x i64], ptr @next, i64 %r
  store i64 %first, ptr %place
  %r1 = add i64 %r, 1
  %more = icmp ult i64 %r1, %cut
  br i1 %more, label %lay, label %laid
laid:
  store atomic i32 1, ptr @open seq_cst, align 4
  %g = atomicrmw add ptr @generation, i32 1 seq_cst
  %asleep = load atomic i32, ptr @sleepers seq_cst, align 4
  %any = icmp ne i32 %asleep, 0
  br i1 %any, label %wake, label %mine
wake:
  @@SPREAD
  call void @futex_wake(ptr @generation, i32 2)
  br label %mine
mine:
  call void @work(i64 0)
  %was = atomicrmw xchg ptr @open, i32 0 seq_cst
  %limit = load i64, ptr @spins
  br label %check
check:
  %i = phi i64 [0, %mine], [%i1, %again]
  %busy = load atomic i32, ptr @active seq_cst, align 4
  %idle = icmp eq i32 %busy, 0
  br i1 %idle, label %finish, label %again
again:
  @@PAUSE
  %i1 = add i64 %i, 1
  %long = icmp sgt i64 %i1, %limit
  br i1 %long, label %sleep, label %check
sleep:
  %w = atomicrmw xchg ptr @waiting, i32 1 seq_cst
  br label %look
look:
  %left = load atomic i32, ptr @active seq_cst, align 4
  %over = icmp eq i32 %left, 0
  br i1 %over, label %awake, label %doze
doze:
  call void @futex_wait(ptr @active, i32 %left)
  br label %look
awake:
  store atomic i32 0, ptr @waiting seq_cst, align 4
  br label %finish
finish:
  store atomic i32 0, ptr @lock release, align 4
  ret void
}

define internal void @worker(i32 %g1, i64 %me) {
entry:
  br label %idle
idle:
  %last = phi i32 [%g1, %entry], [%now, %leave]
  %limit = load i64, ptr @spins
  br label %spin
spin:
  %i = phi i64 [0, %idle], [%i1, %pause], [%limit, %woken]
  %now = load atomic i32, ptr @generation seq_cst, align 4
  %new = icmp ne i32 %now, %last
  br i1 %new, label %enter, label %pause0
pause0:
  %tired = icmp sge i64 %i, %limit
  br i1 %tired, label %sleep, label %pause
pause:
  @@PAUSE
  %i1 = add i64 %i, 1
  br label %spin
sleep:
  %a = atomicrmw add ptr @sleepers, i32 1 seq_cst
  call void @futex_wait(ptr @generation, i32 %last)
  %b = atomicrmw sub ptr @sleepers, i32 1 seq_cst
  br label %woken
woken:
  br label %spin
enter:
  %c = atomicrmw add ptr @active, i32 1 seq_cst
  %open = load atomic i32, ptr @open seq_cst, align 4
  %is_open = icmp ne i32 %open, 0
  br i1 %is_open, label %job, label %leave0
job:
  ; A worker that was woken wakes two more while there are tiles: no thread pays for all.
  %all = load i64, ptr @job_tiles
  %parts = load i64, ptr @job_parts
  %end_part = sub i64 %parts, 1
  %end_place = getelementptr [16 x i64], ptr @next, i64 %end_part
  %taken = load atomic i64, ptr %end_place monotonic, align 8
  %some = icmp slt i64 %taken, %all
  %asleep = load atomic i32, ptr @sleepers monotonic, align 4
  %any = icmp ne i32 %asleep, 0
  %pass = and i1 %some, %any
  br i1 %pass, label %wake, label %begin
wake:
  call void @futex_wake(ptr @generation, i32 2)
  br label %begin
begin:
  @@LOAD_FP
  call void @work(i64 %me)
  br label %leave0
leave0:
  %before = atomicrmw sub ptr @active, i32 1 seq_cst
  %stop = load atomic i32, ptr @stop seq_cst, align 4
  %stopping = icmp ne i32 %stop, 0
  %last_out = icmp eq i32 %before, 1
  br i1 %last_out, label %look, label %leave
look:
  %w = load atomic i32, ptr @waiting seq_cst, align 4
  %someone = icmp ne i32 %w, 0
  br i1 %someone, label %tell, label %leave
tell:
  call void @futex_wake(ptr @active, i32 1)
  br label %leave
leave:
  br i1 %stopping, label %out, label %idle
out:
  ret void
}

; Stop and join the workers; the next parallel call starts them again, for %n threads.
define void @rl_pool_stop(i32 %n) {
  call void @rl_pool_lock()
  @@JOIN
  store i32 0, ptr @started
  store i32 0, ptr @workers
  store atomic i32 %n, ptr @threads seq_cst, align 4
  call void @rl_pool_unlock()
  ret void
}

define void @rl_pool_setup(i64 %spins, i32 %n) {
  store i64 %spins, ptr @spins
  store atomic i32 %n, ptr @threads seq_cst, align 4
  ret void
}

define i32 @rl_pool_workers() {
  %n = load atomic i32, ptr @workers monotonic, align 4
  ret i32 %n
}

; In a forked child: the workers are gone, the lock is the forking thread's.
define void @rl_pool_child() {
  store i32 0, ptr @started
  store i32 0, ptr @workers
  store i32 0, ptr @open
  store i32 0, ptr @active
  store i32 0, ptr @waiting
  store i32 0, ptr @sleepers
  store i32 0, ptr @stop
  store i32 -1, ptr @kept_free
  store atomic i32 0, ptr @lock seq_cst, align 4
  ret void
}
"""

# With few CPUs Linux likes to wake a worker on its waker's CPU, where it gets no time until the
# waker is through: a two-thread job then takes as long as a serial one. So workers that are woken
# may run anywhere but on the caller's CPU, if they are few. Signals stay with the Python threads. A
# worker gets the generation it starts from, so it can't miss the first job.
_START = """
define internal void @spread() noinline {
entry:
  %cpu = call i32 @sched_getcpu()
  %before = load i32, ptr @kept_free
  %same = icmp eq i32 %cpu, %before
  %large = icmp ugt i32 %cpu, 1023
  %skip0 = or i1 %same, %large
  %n = load i32, ptr @workers
  %many = icmp sgt i32 %n, 7
  %skip = or i1 %skip0, %many
  br i1 %skip, label %out, label %read
read:
  call void @llvm.memset.p0.i64(ptr @cpus, i8 0, i64 128, i1 false)
  %r = call i32 @sched_getaffinity(i32 0, i64 128, ptr @cpus)
  %bad = icmp slt i32 %r, 0
  br i1 %bad, label %out, label %clear
clear:
  %wide = zext i32 %cpu to i64
  %index = lshr i64 %wide, 6
  %bit = and i64 %wide, 63
  %one = shl i64 1, %bit
  %not = xor i64 %one, -1
  %word_p = getelementptr i64, ptr @cpus, i64 %index
  %word = load i64, ptr %word_p
  %rest = and i64 %word, %not
  store i64 %rest, ptr %word_p
  %all = load <16 x i64>, ptr @cpus
  %any = call i64 @llvm.vector.reduce.or.v16i64(<16 x i64> %all)
  %none = icmp eq i64 %any, 0
  br i1 %none, label %out, label %tell
tell:
  store atomic i32 %cpu, ptr @kept_free seq_cst, align 4
  br label %loop
loop:
  %i = phi i32 [0, %tell], [%i1, %next]
  %more = icmp slt i32 %i, %n
  br i1 %more, label %look, label %out
look:
  %i64 = zext i32 %i to i64
  %p = getelementptr i32, ptr @tids, i64 %i64
  %tid = load atomic i32, ptr %p seq_cst, align 4
  %known = icmp ne i32 %tid, 0
  br i1 %known, label %move, label %next
move:
  %s = call i32 @sched_setaffinity(i32 %tid, i64 128, ptr @cpus)
  br label %next
next:
  %i1 = add i32 %i, 1
  br label %loop
out:
  ret void
}

declare i64 @llvm.vector.reduce.or.v16i64(<16 x i64>)

define internal void @start_workers() {
entry:
  %all = alloca [16 x i64], align 16
  %old = alloca [16 x i64], align 16
  call void @llvm.memset.p0.i64(ptr %all, i8 -1, i64 128, i1 false)
  %m = call i32 @pthread_sigmask(i32 @@SIG, ptr %all, ptr %old)
  %threads = load i32, ptr @threads
  %want = sub i32 %threads, 1
  call void @llvm.memset.p0.i64(ptr @tids, i8 0, i64 4096, i1 false)
  store i32 -1, ptr @kept_free
  %g = load i32, ptr @generation
  %g64 = zext i32 %g to i64
  %g_high = shl i64 %g64, 32
  br label %loop
loop:
  %i = phi i32 [0, %entry], [%i1, %made]
  %more = icmp slt i32 %i, %want
  br i1 %more, label %make, label %out
make:
  %i64 = zext i32 %i to i64
  %id = getelementptr i64, ptr @ids, i64 %i64
  %packed = or i64 %g_high, %i64
  %arg = inttoptr i64 %packed to ptr
  %r = call i32 @pthread_create(ptr %id, ptr null, ptr @named_worker, ptr %arg)
  %ok = icmp eq i32 %r, 0
  br i1 %ok, label %made, label %out
made:
  %i1 = add i32 %i, 1
  br label %loop
out:
  store i32 %i, ptr @workers
  %m2 = call i32 @pthread_sigmask(i32 @@SIG, ptr %old, ptr null)
  ret void
}

; The argument: generation in the high half, index in the low one.
define internal ptr @named_worker(ptr %first) {
entry:
  %r = call i32 (i32, ...) @prctl(i32 @@NAME, ptr @name)
  %packed = ptrtoint ptr %first to i64
  %index = and i64 %packed, 4294967295
  %t = call i64 (i64, ...) @syscall(i64 @@GETTID)
  %tid = trunc i64 %t to i32
  %slot = getelementptr i32, ptr @tids, i64 %index
  store atomic i32 %tid, ptr %slot seq_cst, align 4
  ; Either spread saw our number, or we see its mask.
  %free = load atomic i32, ptr @kept_free seq_cst, align 4
  %masked = icmp ne i32 %free, -1
  br i1 %masked, label %move, label %go
move:
  %a = call i32 @sched_setaffinity(i32 0, i64 128, ptr @cpus)
  br label %go
go:
  %g64 = lshr i64 %packed, 32
  %g = trunc i64 %g64 to i32
  %me = add i64 %index, 1
  call void @worker(i32 %g, i64 %me)
  ret ptr null
}

declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
"""

_JOIN = """
define internal void @join_workers() {
entry:
  store atomic i32 1, ptr @stop seq_cst, align 4
  %g = atomicrmw add ptr @generation, i32 1 seq_cst
  call void @futex_wake(ptr @generation, i32 2147483647)
  %n = load i32, ptr @workers
  br label %loop
loop:
  %i = phi i32 [0, %entry], [%i1, %join]
  %more = icmp slt i32 %i, %n
  br i1 %more, label %join, label %out
join:
  %i64 = zext i32 %i to i64
  %p = getelementptr i64, ptr @ids, i64 %i64
  %id = load i64, ptr %p
  %r = call i32 @pthread_join(i64 %id, ptr null)
  %i1 = add i32 %i, 1
  br label %loop
out:
  store atomic i32 0, ptr @stop seq_cst, align 4
  ret void
}
"""
