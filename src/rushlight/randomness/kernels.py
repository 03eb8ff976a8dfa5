"""The kernels of the random streams as callables; each is compiled when it is first used."""

from __future__ import annotations

from functools import cache

__all__ = ["kernel", "module_ir"]

LONG = 1 << 17  # numbers from which on a draw releases the interpreter lock


# What Python calls: (state, array, n, a, b). The first two are arrays, whose data pointers are read
# from the objects. Long draws release the interpreter lock and mark the state as busy; whoever has
# the lock and finds a state busy waits. So each draw is one indivisible step.
ENTRY = """
@_Py_NoneStruct = external global i8
declare void @rl_mt_words(ptr, ptr, i64)
declare void @Py_IncRef(ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare double @PyFloat_AsDouble(ptr)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
define ptr @rl_NAME_entry(ptr %module, ptr %args, i64 %count) {
entry:
  %args.1 = getelementptr ptr, ptr %args, i64 1
  %args.2 = getelementptr ptr, ptr %args, i64 2
  %args.3 = getelementptr ptr, ptr %args, i64 3
  %args.4 = getelementptr ptr, ptr %args, i64 4
  %state.o = load ptr, ptr %args
  %array = load ptr, ptr %args.1
  %n.o = load ptr, ptr %args.2
  %a.o = load ptr, ptr %args.3
  %b.o = load ptr, ptr %args.4
  %state.p = getelementptr i8, ptr %state.o, i64 16
  %state = load ptr, ptr %state.p
  %data = getelementptr i8, ptr %array, i64 16
  %out = load ptr, ptr %data
  %n = call i64 @PyLong_AsLongLong(ptr %n.o)
  %a = call double @PyFloat_AsDouble(ptr %a.o)
  %b = call double @PyFloat_AsDouble(ptr %b.o)
  %busy.p = getelementptr i8, ptr %state, i64 BUSY
  br label %wait
wait:
  %busy = load volatile i32, ptr %busy.p
  %taken = icmp ne i32 %busy, 0
  br i1 %taken, label %yield, label %free
yield:
  %yielded = call ptr @PyEval_SaveThread()
  call void @PyEval_RestoreThread(ptr %yielded)
  br label %wait
free:
  %long = icmp sgt i64 %n, LONG
  br i1 %long, label %apart, label %here
here:
  call void @rl_NAME(ptr %state, ptr %out, i64 %n, double %a, double %b)
  br label %done
apart:
  store volatile i32 1, ptr %busy.p
  %thread = call ptr @PyEval_SaveThread()
  call void @rl_NAME(ptr %state, ptr %out, i64 %n, double %a, double %b)
  call void @PyEval_RestoreThread(ptr %thread)
  store volatile i32 0, ptr %busy.p
  br label %done
done:
  call void @Py_IncRef(ptr @_Py_NoneStruct)
  ret ptr @_Py_NoneStruct
}
"""


def module_ir(name):
    """The module of the kernel `name`; `"engine"` is the generator, which the others call."""
    from rushlight.randomness import engine, rejection, transforms

    if name == "engine":
        return engine.words_ir()
    write = transforms.KERNELS.get(name) or rejection.KERNELS[name]
    entry = ENTRY.replace("NAME", name).replace("BUSY", str(engine.BUSY)).replace("LONG", str(LONG))
    lines = (entry + write()).splitlines()
    # Functions of one module may declare the same intrinsics; LLVM takes each declaration once.
    declarations = sorted({line for line in lines if line.startswith("declare ")})
    return "\n".join(declarations + [line for line in lines if not line.startswith("declare ")])


@cache
def _digest():
    """A hash of the sources that kernels are made of, for the key of the code cache."""
    import os

    from rushlight.compiler import sources

    here = os.path.dirname(os.path.abspath(__file__))
    return sources.digest([os.path.join(here, name)
                           for name in ("engine.py", "transforms.py", "rejection.py", "kernels.py")]).hex()


def _load(name, symbol, imports):
    from rushlight.compiler import engine

    return engine.load(f"random {name} {_digest()}", lambda: module_ir(name), [symbol], imports)[
        symbol
    ]


@cache
def kernel(name):
    """The kernel `name` as a callable of (state, array, n, a, b): n numbers from the array's start.

    `state` is a generator's array of bytes. `array` must be contiguous and of the kernel's type;
    nothing is checked. A call is one indivisible step for other threads that draw from the state.
    """
    from rushlight.runtime.native import callable_from

    imports = {"rl_mt_words": _load("engine", "rl_mt_words", None)}
    return callable_from(_load(name, f"rl_{name}_entry", imports), name)
