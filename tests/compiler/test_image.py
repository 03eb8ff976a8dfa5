"""The image loader places what compiled kernels contain, outside functions included, without LLVM."""

import ctypes
import os
import subprocess
import sys

import pytest

from rushlight.compiler import available, cache, image
from rushlight.runtime import cpu

pytestmark = pytest.mark.skipif(
    not available() or cpu.machine() != "x86_64", reason="needs llvmlite on x86-64"
)

IR = """
@zeros = internal global [3000 x i8] zeroinitializer, align 64
@counter = internal global i64 40
@_Py_NoneStruct = external global i8
@table = internal constant [2 x ptr] [ptr @one, ptr @two]
@list = internal constant [4 x float] [float 1.5, float 2.5, float -3.0, float 4.0], align 16
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memmove.p0.p0.i64(ptr, ptr, i64, i1)
declare i64 @given(i64)
define internal i64 @one(i64 %x) noinline { ret i64 %x }
define internal i64 @two(i64 %x) noinline {
  %r = mul i64 %x, 2
  ret i64 %r
}
define i64 @call_by_table(i64 %i, i64 %x) {
  %slot = getelementptr ptr, ptr @table, i64 %i
  %f = load ptr, ptr %slot
  %r = call i64 %f(i64 %x)
  ret i64 %r
}
define i64 @choose(i64 %x) {
  switch i64 %x, label %other [ i64 0, label %a i64 1, label %b i64 2, label %c i64 3, label %d i64 4, label %e ]
a: ret i64 3
b: ret i64 17
c: %q = call i64 @two(i64 %x)
  ret i64 %q
d: ret i64 -5
e: ret i64 1000
other: ret i64 0
}
define i64 @count() {
  %old = load i64, ptr @counter
  %new = add i64 %old, 1
  store i64 %new, ptr @counter
  ret i64 %new
}
define ptr @none() { ret ptr @_Py_NoneStruct }
define float @element(i64 %i) {
  %p = getelementptr float, ptr @list, i64 %i
  %r = load float, ptr %p
  ret float %r
}
define float @remainder(float %x, float %y) {
  %r = frem float %x, %y
  ret float %r
}
define i64 @outside(i64 %x) {
  %r = call i64 @given(i64 %x)
  ret i64 %r
}
define ptr @fill(ptr %to, i8 %byte, i64 %n) {
  call void @llvm.memset.p0.i64(ptr @zeros, i8 %byte, i64 %n, i1 false)
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr @zeros, i64 %n, i1 false)
  %next = getelementptr i8, ptr %to, i64 1
  call void @llvm.memmove.p0.p0.i64(ptr %next, ptr %to, i64 %n, i1 false)
  ret ptr @zeros
}
"""


@pytest.fixture(scope="module")
def functions():
    from rushlight.compiler import engine
    from rushlight.compiler.codegen.targets import host

    flat = image.flatten(engine.compile_object(f'target triple = "{host().triple}"\n{IR}', 2))
    assert flat is not None
    twice = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(lambda x: 2 * x + 1)
    found = image.load(flat, {"given": ctypes.cast(twice, ctypes.c_void_p).value})
    i64, f32, ptr = ctypes.c_int64, ctypes.c_float, ctypes.c_void_p
    types = {
        "call_by_table": (i64, i64, i64), "choose": (i64, i64), "count": (i64,), "none": (ptr,),
        "element": (f32, i64), "remainder": (f32, f32, f32), "outside": (i64, i64),
        "fill": (ptr, ptr, ctypes.c_int8, i64),
    }
    yield {name: ctypes.CFUNCTYPE(*type_)(found[name]) for name, type_ in types.items()}
    del twice


def test_jumps_tables_and_data(functions):
    f = functions
    assert [f["call_by_table"](i, 21) for i in (0, 1)] == [21, 42]
    assert [f["choose"](i) for i in range(6)] == [3, 17, 4, -5, 1000, 0]
    assert [f["count"]() for _ in range(3)] == [41, 42, 43]
    assert [f["element"](i) for i in range(4)] == [1.5, 2.5, -3.0, 4.0]
    assert f["none"]() == id(None)


def test_outside_functions(functions):
    f = functions
    assert f["remainder"](7.5, 2.0) == 1.5
    assert f["outside"](20) == 41
    memory = ctypes.create_string_buffer(2600)
    zeros = f["fill"](ctypes.addressof(memory), 7, 2500)
    assert memory.raw == b"\7" * 2501 + bytes(99)
    assert ctypes.string_at(zeros, 3000) == b"\7" * 2500 + bytes(500)


def test_unknown_function_is_named():
    from rushlight.compiler import engine
    from rushlight.compiler.codegen.targets import host

    code = engine.compile_object(f"""target triple = "{host().triple}"
declare i64 @rl_there_is_no_such_function()
define i64 @f() {{
  %r = call i64 @rl_there_is_no_such_function()
  ret i64 %r
}}""")
    with pytest.raises(OSError, match="rl_there_is_no_such_function"):
        image.load(image.flatten(code))


def test_what_is_no_object_is_left_alone():
    assert image.flatten(b"") is None
    assert image.flatten(b"\x7fELF\x02\x01" + bytes(100)) is None


TRAINING = """
import sys
import rushlight as torch
from rushlight.compiler import engine
nn = torch.nn
torch.manual_seed(0)
x = torch.randn(4, 3, 12, 12)
model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
                      nn.Flatten(), nn.Linear(8 * 36, 10))
optimizer = torch.optim.Adam(model.parameters())
loss = nn.functional.cross_entropy(model(x + x), torch.arange(4))
loss.backward()
optimizer.step()
print(engine.statistics["compiled"], "llvmlite" in sys.modules, float(loss).hex())
"""


def test_a_warm_start_needs_no_llvm(tmp_path):
    source = os.path.dirname(os.path.dirname(os.path.dirname(cache.__file__)))
    environment = {**os.environ, "RUSHLIGHT_CACHE": str(tmp_path / "cache"), "PYTHONPATH": source}

    def run():
        done = subprocess.run([sys.executable, "-c", TRAINING], env=environment, text=True, capture_output=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.split()

    cold, warm = run(), run()
    assert int(cold[0]) > 10 and cold[1] == "True"
    assert warm == ["0", "False", cold[2]]
