"""Blocks of memory: copies and fills of runs of bytes, into the cache or past it."""

from rushlight.compiler.codegen.builder import vector

STREAM_FROM = 24 << 20          # bytes of results from which stores go past the cache
RUN = 64                        # bytes a step of a copy


def ceil_div(value, by):
    return (value + (by - 1)).udiv(by)


def at_least(f, value, low):
    low = f.value(low)
    return f.select(value < low, low, value)


def address(f, pointer):
    return f.emit("i64", f"ptrtoint ptr {pointer.name} to i64")


def copy_run(f, to, source, nbytes, stream=None, ahead=None):
    """Copy `nbytes` (a value); with `stream`, an i1, whole lines go past the cache where it is true, and those that lie
    `ahead` bytes further are asked for.

    Under 64 bytes, two moves that may overlap do; longer runs end with a move that overlaps the one before.
    """
    kind = vector("i8", RUN)
    done = f.fresh("copied")
    with f.if_(nbytes < RUN):
        short_run(f, to, source, nbytes)
        f.terminate(f"br label %{done}")
    end = nbytes - RUN
    if stream is not None:
        with f.if_(stream):
            def line(at):
                if ahead is not None:
                    f.prefetch(source + (at + ahead), near=2)
                return f.load(kind, source + at, 1)

            rest = _lines(f, to, nbytes, line, lambda at, n: short_run(f, to + at, source + at, n))
            short_run(f, to + rest, source + rest, nbytes - rest)
            f.terminate(f"br label %{done}")
    _vectors(f, to, end, lambda at: f.load(kind, source + at, 1))
    f.label(done)


def _vectors(f, to, end, value):
    """Store ``value(at)`` at every 64th byte below `end`, and at `end`."""
    at = f.var("i64", 0)
    with f.loop() as loop:
        now = at.get()
        loop.break_if(now >= end)
        f.store(value(now), to + now, 1)
        at.set(now + RUN)
    f.store(value(end), to + end, 1)


def _lines(f, to, nbytes, value, few):
    """Store ``value(at)`` past the cache to all whole lines, after ``few(0, n)`` for the bytes before the first;
    returns where they end."""
    head = (f.value(0) - address(f, to)) & (RUN - 1)
    few(f.value(0), head)
    at = f.var("i64", head)
    end = nbytes - RUN
    with f.loop() as loop:
        now = at.get()
        loop.break_if(now > end)
        f.store(value(now), to + now, RUN, past=True)
        at.set(now + RUN)
    return at.get()


def short_run(f, to, source, nbytes):
    """Copy fewer than 64 bytes."""
    done = f.fresh("copied")
    for half in (32, 16, 8, 4, 2):
        with f.if_(nbytes >= half):
            kind = vector("i8", half)
            end = nbytes - half
            first, last = f.load(kind, source, 1), f.load(kind, source + end, 1)
            f.store(first, to, 1)
            f.store(last, to + end, 1)
            f.terminate(f"br label %{done}")
    with f.if_(nbytes > 0):
        f.store(f.load("i8", source), to)
    f.label(done)


def copy_rows(f, to, source, nbytes, rows, to_step, step):
    """Copy `rows` runs of `nbytes` from `step` to `to_step` bytes apart; short ones by two moves of one size each,
    which may overlap."""
    done = f.fresh("copied")

    def each(move):
        here, there = f.var("ptr", source), f.var("ptr", to)
        with f.range(rows):
            a, b = here.get(), there.get()
            move(b, a)
            here.set(a + step)
            there.set(b + to_step)
    for half in (1, 2, 4, 8, 16, 32):
        with f.if_((nbytes >= half) & (nbytes <= 2 * half)):
            kind, rest = vector("i8", half) if half > 8 else f"i{8 * half}", nbytes - half

            def move(b, a, kind=kind, rest=rest):
                x, y = f.load(kind, a, 1), f.load(kind, a + rest, 1)
                f.store(x, b, 1)
                f.store(y, b + rest, 1)
            each(move)
            f.terminate(f"br label %{done}")
    with f.if_(nbytes > 0):
        each(lambda b, a: copy_run(f, b, a, nbytes))
    f.label(done)


def fill_run(f, to, pattern, nbytes, stream=None):
    """Write the 64 bytes `pattern` over and over; `nbytes` and `to` are multiples of its period, 1, 2, 4 or 8.

    Where `stream` is true whole lines go past the cache.
    """
    rest = f.buffer(RUN, RUN)
    f.store(pattern, rest, RUN)
    done = f.fresh("filled")
    with f.if_(nbytes < RUN):
        short_run(f, to, rest, nbytes)
        f.terminate(f"br label %{done}")
    end = nbytes - RUN
    if stream is not None:
        with f.if_(stream):
            left = _lines(f, to, nbytes, lambda at: pattern, lambda at, n: short_run(f, to + at, rest, n))
            short_run(f, to + left, rest, nbytes - left)
            f.terminate(f"br label %{done}")
    _vectors(f, to, end, lambda at: pattern)
    f.label(done)
