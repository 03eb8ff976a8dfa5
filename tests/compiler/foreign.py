"""Kernels for AArch64, run by an emulator: ``foreign.py QEMU CPU FEATURES``; see test_aarch64.

Each check makes the IR of a kernel as it would be made on such a CPU, compiles and flattens it, and puts it with a
small ``main`` that calls it and an area of data at a fixed address into a static ELF program. The program ends by
writing the area to its output.
"""

import os
import struct
import subprocess
import sys
import tempfile
import traceback

import llvmlite.binding as llvm
import numpy as np

from rushlight.compiler import image
from rushlight.compiler import scalar as s
from rushlight.compiler.codegen import targets
from rushlight.compiler.expr import trace
from rushlight.runtime import cpu

QEMU, CPU, FEATURES = sys.argv[1:4]
TRIPLE = "aarch64-unknown-linux-gnu"
TARGET = targets.Target(TRIPLE, CPU, FEATURES, 16)
targets.host = lambda: TARGET
cpu.machine = lambda: "aarch64"
cpu.features = lambda: frozenset(["neon", "fp", "asimdhp"])
cpu.vector_bytes = lambda: 16

from rushlight.compiler.codegen.builder import Module
from rushlight.compiler.codegen.lower import ITEMSIZE
from rushlight.compiler.pointwise import inner_loop
from rushlight.compiler.reduction import Specification

CODE, DATA, SCRATCH = 0x400000, 0x10000000, 0x20000000
SCRATCH_BYTES = 32 << 20

# What kernels call: the pool and memory of a program with one thread, and the C library's.
SUPPORT = f"""
declare i64 @llvm.abs.i64(i64, i1)
@next = internal global i64 {SCRATCH}
define i32 @rl_parallel_for(ptr %task, ptr %context, i64 %count) {{
  %n = call i64 @llvm.abs.i64(i64 %count, i1 false)
  call void %task(ptr %context, i64 0, i64 %n)
  ret i32 0
}}
define ptr @rl_scratch(i64 %n) {{
  %at = load i64, ptr @next
  %rounded = add i64 %n, 191
  %size = and i64 %rounded, -64
  %end = add i64 %at, %size
  store i64 %end, ptr @next
  %block = inttoptr i64 %at to ptr
  %memory = getelementptr i8, ptr %block, i64 64
  store ptr %memory, ptr %block
  ret ptr %block
}}
define void @rl_free(ptr %block) {{ ret void }}
define ptr @memcpy(ptr %to, ptr %from, i64 %n) noinline {{
entry: br label %test
test: %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp ult i64 %i, %n
  br i1 %more, label %body, label %done
body: %p = getelementptr i8, ptr %from, i64 %i
  %q = getelementptr i8, ptr %to, i64 %i
  %byte = load volatile i8, ptr %p
  store i8 %byte, ptr %q
  %next = add i64 %i, 1
  br label %test
done: ret ptr %to
}}
define ptr @memset(ptr %to, i32 %value, i64 %n) noinline {{
entry: %byte = trunc i32 %value to i8
  br label %test
test: %i = phi i64 [ 0, %entry ], [ %next, %body ]
  %more = icmp ult i64 %i, %n
  br i1 %more, label %body, label %done
body: %q = getelementptr i8, ptr %to, i64 %i
  store volatile i8 %byte, ptr %q
  %next = add i64 %i, 1
  br label %test
done: ret ptr %to
}}
"""


class Program:
    """Data at fixed addresses and calls with constant arguments."""

    def __init__(self):
        self.data, self.calls = bytearray(), []

    def array(self, a):
        """The address of a copy of an array (or of int64 words)."""
        a = np.ascontiguousarray(np.asarray(a, dtype="i8") if isinstance(a, list) else a)
        self.data.extend(bytes(-len(self.data) % 64))
        at = DATA + len(self.data)
        self.data.extend(a.tobytes())
        return at

    def call(self, name, *args):
        self.calls.append((name, args))

    def main(self):
        lines, types = [], {}
        for name, args in self.calls:
            typed = [f"ptr inttoptr (i64 {a} to ptr)" if a >= DATA else f"i64 {a}" for a in args]
            types[name] = ", ".join(t.split()[0] for t in typed)
            lines.append(f"  call void @{name}({', '.join(typed)})")
        declared = [f"declare void @{name}({text})" for name, text in types.items()]
        return "\n".join([*declared, "define void @main() {", *lines, "  ret void", "}"])

    def run(self, *texts, level=1):
        """The area of data after the calls."""
        code = link([*texts, SUPPORT, self.main()], level)
        with tempfile.TemporaryDirectory() as folder:
            path, result = os.path.join(folder, "program"), os.path.join(folder, "result")
            with open(path, "wb") as file:
                file.write(executable(code, bytes(self.data)))
            os.chmod(path, 0o700)
            with open(result, "wb") as file:
                done = subprocess.run([QEMU, "-cpu", "max", path], stdout=file, stderr=subprocess.PIPE, timeout=120)
            assert done.returncode == 0, (done.returncode, done.stderr)
            with open(result, "rb") as file:
                return Area(file.read())


class Area:
    def __init__(self, data):
        self.data = data

    def read(self, at, dtype, *shape):
        return np.frombuffer(self.data, dtype, int(np.prod(shape)), at - DATA).reshape(shape)


def link(texts, level):
    """The flattened image of modules."""
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(
        cpu=CPU, features=FEATURES, opt=2, reloc="pic", codemodel="small")
    module = llvm.parse_assembly(f'target triple = "{TRIPLE}"\n')
    for text in texts:
        module.link_in(llvm.parse_assembly(text))
    options = llvm.create_pipeline_tuning_options(speed_level=level)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    flat = image.flatten(machine.emit_object(module))
    assert flat is not None, "not flattened"
    return flat


def executable(flat, data):
    """A static program: the image, and behind it a start that calls main, writes the data and ends."""
    import marshal

    code, _, exports, slots, absolute = marshal.loads(flat)
    # Entries for Python are never called here.
    missing = [name for name in slots if not name.startswith(("Py", "_Py"))]
    assert not missing, f"undefined: {missing}"
    code = bytearray(code)
    for place, target in absolute:
        struct.pack_into("<Q", code, place, CODE + target)
    code.extend(bytes(-len(code) % 16))
    start = len(code)

    def move(register, value):
        return [0xD2800000 | (value & 0xFFFF) << 5 | register,                      # movz
                0xF2A00000 | (value >> 16 & 0xFFFF) << 5 | register]                # movk, lsl 16

    words = [0x94000000 | ((exports["main"] - start) >> 2) & 0x3FFFFFF,             # bl main
             *move(0, 1), *move(1, DATA), *move(2, len(data)), *move(8, 64), 0xD4000001,    # write(1, ...)
             *move(0, 0), *move(8, 94), 0xD4000001]                                 # exit_group(0)
    code.extend(struct.pack(f"<{len(words)}I", *words))
    page = 0x10000
    at = page
    data_at = at + (len(code) + page - 1) // page * page
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 183, 1, CODE + start, 64, 0, 0, 64, 56, 3,
                         0, 0, 0)
    segments = [(7, at, CODE, len(code), len(code)), (6, data_at, DATA, len(data), len(data)),
                (6, 0, SCRATCH, 0, SCRATCH_BYTES)]
    for flags, offset, address, in_file, in_memory in segments:
        header += struct.pack("<IIQQQQQQ", 1, flags, offset, address, address, in_file, in_memory, page)
    return header.ljust(at, b"\0") + bytes(code).ljust(data_at - at, b"\0") + data


def pointwise(formula, arrays, out_dtype, numbers=(), compute="float32", name=None):
    """Run a formula's kernel; arrays are (dtype name, array)."""
    p = Program()
    n = len(arrays[0][1])
    outputs = trace(formula, "f" * len(arrays), "f" * len(numbers))
    text = inner_loop(outputs, [d for d, _ in arrays], [True] * len(numbers), [out_dtype], compute, False)
    size = ITEMSIZE[out_dtype]
    out = p.array(np.zeros(n * size, "u1"))
    operands = p.array([out, *(p.array(a) for _, a in arrays)])
    strides = p.array([size, *(ITEMSIZE[d] for d, _ in arrays)])
    scalars = p.array(np.array(numbers, "f8"))
    p.call("inner", operands, strides, scalars, n, 0)
    return p.run(text).read(out, f"u{size}", n)


rng = np.random.default_rng(0)
CHECKS = []


def check(f):
    CHECKS.append(f)
    return f


@check
def formulas():
    """Vector and tail loops, the vector math, comparisons."""
    for n in (1, 3, 1000):
        x = (rng.standard_normal(n) * 3).astype("f4")
        wide = x.astype("f8")
        for name, reference in (("exp", np.exp), ("tanh", np.tanh), ("sin", np.sin), ("log1p", np.log1p)):
            with np.errstate(all="ignore"):
                want = reference(wide).astype("f4")
            got = pointwise(lambda v, name=name: getattr(s, name)(v), [("float32", x)], "float32").view("f4")
            np.testing.assert_allclose(got, want, rtol=5e-7, atol=1e-12)
        got = pointwise(lambda v, w, b: s.where(v > 0, v * w + b, s.sqrt(-v)),
                        [("float32", x), ("float32", x[::-1])], "float32", [0.5]).view("f4")
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(got, np.where(x > 0, x * x[::-1] + np.float32(0.5), np.sqrt(-x)), rtol=3e-7,
                                       atol=1e-6)
        got = pointwise(lambda v: s.exp(v), [("float64", wide)], "float64", compute="float64").view("f8")
        np.testing.assert_allclose(got, np.exp(wide), rtol=3e-16 * 4)


@check
def half_precision():
    x = (rng.standard_normal(533) * 100).astype("f2")
    np.testing.assert_array_equal(pointwise(lambda v: v * 2.0 + 1.0, [("float16", x)], "float16").view("f2"),
                                  (x.astype("f4") * 2 + 1).astype("f2"))
    bits = rng.integers(0x3F00, 0x42FF, 533).astype("u2")
    wide = (bits.astype("u4") << 16).view("f4")
    got = pointwise(lambda v: v * 3.0, [("bfloat16", bits)], "bfloat16")
    np.testing.assert_allclose((got.astype("u4") << 16).view("f4"), wide * 3, rtol=2.0 ** -8)


@check
def reductions():
    for n in (1, 7, 1000, 5003):
        x = rng.standard_normal(n).astype("f4")
        for kind, want, tolerance in (("sum", x.astype("f8").sum(), 1e-5), ("max", x.max(), 0),
                                      ("prod", np.prod(x[:7].astype("f8")), 1e-6)):
            a = x[:7] if kind == "prod" else x
            spec = Specification(kind, ("float32",), ("float32",), [], s.input(0), None, "float32")
            p = Program()
            out, state = p.array(np.zeros(1, "f4")), p.array(np.zeros(spec.state_bytes, "u1"))
            inputs, outputs = p.array([p.array(a)]), p.array([out])
            steps, none = p.array([4]), p.array([0])
            p.call("initial", state, inputs, steps, 1)
            p.call("rows", state, inputs, steps, len(a), none, 0, 1)
            p.call("fold", state)
            p.call("finish", state, outputs, steps, 1, len(a), none)
            np.testing.assert_allclose(p.run(spec.ir()).read(out, "f4", 1)[0], want, rtol=tolerance, atol=tolerance)


@check
def products():
    """The whole driver: packed, direct and dot forms, all edges of tiles."""
    from rushlight.compiler.templates import gemm
    from rushlight.compiler.templates.gemm_driver import INDEX, SIZE

    for name, dtype, tolerance in (("float32", "f4", 1e-5), ("float64", "f8", 1e-13)):
        text = gemm.module_text(name, 0, 16, cpu.Caches(32 << 10, 256 << 10, 1 << 20))
        p, expected = Program(), []
        for m, k, n, turned in ((1, 1, 1, False), (5, 33, 9, False), (3, 100, 7, True), (61, 130, 37, False),
                                (150, 170, 95, True)):
            a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
            size = a.itemsize
            c = p.array(np.zeros((m, n), dtype))
            stored = np.ascontiguousarray(b.T) if turned else b
            words = [0] * SIZE
            fields = dict(outer=1, batch=1, m=m, n=n, k=k, a=p.array(a), a_row=k * size, a_col=size, b=p.array(stored),
                          b_row=size if turned else n * size, b_col=k * size if turned else size, c=c, c_row=n * size,
                          alpha=struct.unpack("q", struct.pack("d", 1.0))[0])
            for field, value in fields.items():
                words[INDEX[field]] = value
            p.call("product", p.array(words))
            expected.append((c, m, n, a.astype("f8") @ b.astype("f8")))
        shape = gemm._shape(name, 16, 32)
        kernels = [f"rl_{kind}{rows}" for kind in ("edge", "narrow", "full") for rows in range(1, shape.mr + 1)]
        lines = ["declare i32 @rl_gemm(ptr)", "define void @rl_more(i64 %heights) {", "  ret void", "}",
                 "@rl_tiles = external global ptr", *(f"declare void @{kernel}()" for kernel in kernels),
                 "define void @product(ptr %job) {"]
        lines += [f"  store ptr @{kernel}, ptr getelementptr (ptr, ptr @rl_tiles, i64 {i})"
                  for i, kernel in enumerate(kernels)]
        lines += ["  %r = call i32 @rl_gemm(ptr %job)", "  ret void", "}"]
        heights = [gemm._height_text((name, 16, 32), rows) for rows in range(1, shape.mr + 1)]
        area = p.run(text, *heights, "\n".join(lines))
        for c, m, n, want in expected:
            np.testing.assert_allclose(area.read(c, dtype, m, n), want, rtol=tolerance, atol=20 * tolerance)


@check
def stubs_and_tables():
    """Code that goes through slots: a jump to a function elsewhere and the address of one."""
    import marshal

    from rushlight.compiler.relocation import Arm

    m = Module(TRIPLE)
    m.globals.append("@total = internal global i64 5")
    f = m.function("add", "void", [("ptr", "to"), ("i64", "n")], "", "noinline")
    f.store(f.load("i64", f.args[0]) + f.args[1], f.args[0])
    f.ret()
    machine = llvm.Target.from_triple(TRIPLE).create_target_machine(cpu=CPU, features=FEATURES, reloc="pic",
                                                                    codemodel="small")
    caller = llvm.parse_assembly(f'target triple = "{TRIPLE}"\n' + """
declare void @add(ptr, i64)
@table = global [2 x ptr] [ptr @twice, ptr @main]
define void @twice(ptr %p) noinline {
  call void @add(ptr %p, i64 20)
  call void @add(ptr %p, i64 1)
  ret void
}
define void @main() {
  %f = load volatile ptr, ptr @table
  call void %f(ptr inttoptr (i64 268435456 to ptr))
  ret void
}
""")
    callee = llvm.parse_assembly(m.text())
    first = marshal.loads(image.flatten(machine.emit_object(caller)))
    second = marshal.loads(image.flatten(machine.emit_object(callee)))
    assert list(first[3]) == ["add"] and first[4]
    code = bytearray(first[0])
    code.extend(bytes(-len(code) % 4096))
    struct.pack_into("<Q", code, first[3]["add"], CODE + len(code) + second[2]["add"])
    code.extend(second[0])
    for place, target in first[4]:
        struct.pack_into("<Q", code, place, CODE + target)
    assert Arm.STUB_BYTES == 16
    flat = marshal.dumps((bytes(code), 0, first[2], {}, []))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "program")
        with open(path, "wb") as file:
            file.write(executable(flat, struct.pack("<q", 21)))
        os.chmod(path, 0o700)
        done = subprocess.run([QEMU, path], capture_output=True, timeout=60)
    assert done.returncode == 0 and struct.unpack("<q", done.stdout) == (42,), done


def main():
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    failed = 0
    for f in CHECKS:
        try:
            f()
        except Exception:
            failed += 1
            print(f"--- {f.__name__}\n{traceback.format_exc()[-1500:]}")
    print(f"{len(CHECKS) - failed} of {len(CHECKS)}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
