"""The mt19937 engine as LLVM IR, and the text builder the kernels of the streams are written with.

State (`STATE_BYTES` bytes, owned by a `Generator`):

    offset     0  624 x i32   the words of the recurrence
    offset  2496  i32         left: words until the next step of the recurrence, plus one
    offset  2500  i32         next: index of the next word
    offset  2504  f64         the second normal of a pair, when drawn one by one
    offset  2512  i32         whether that normal is there
    offset  2516  i32         busy: another thread is drawing

Source: M. Matsumoto, T. Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998.
"""

from __future__ import annotations

N, M = 624, 397
LEFT, NEXT, NORMAL, NORMAL_VALID, BUSY = 2496, 2500, 2504, 2512, 2516
STATE_BYTES = 2560  # room for a vector read past the last word
UPPER, LOWER, MATRIX = 0x80000000, 0x7FFFFFFF, 0x9908B0DF


class Builder:
    """One function's body as text; `lanes` is the width of the values now being computed (1:
    scalars).
    """

    def __init__(self):
        self.lines, self.count, self.lanes = [], 0, 1
        self.declarations = set()

    def name(self):
        self.count += 1
        return f"%v{self.count}"

    def emit(self, text):
        self.lines.append("  " + text)

    def label(self, name):
        self.lines.append(name + ":")

    def value(self, text):
        """Assign `text` to a fresh name and return it."""
        name = self.name()
        self.emit(f"{name} = {text}")
        return name

    def type(self, element):
        return element if self.lanes == 1 else f"<{self.lanes} x {element}>"

    def constant(self, element, literal):
        """A constant of every lane; floats are given as Python numbers and written exactly."""
        literal = _literal(element, literal)
        return literal if self.lanes == 1 else f"splat ({element} {literal})"

    def splat(self, element, scalar):
        """The scalar value `scalar` in every lane."""
        if self.lanes == 1:
            return scalar
        vector = self.type(element)
        first = self.value(f"insertelement {vector} poison, {element} {scalar}, i32 0")
        return self.value(
            f"shufflevector {vector} {first}, {vector} poison, <{self.lanes} x i32> zeroinitializer"
        )

    def op(self, operation, element, x, y):
        """`x operation y`; numbers become constants."""
        x, y = (v if isinstance(v, str) else self.constant(element, v) for v in (x, y))
        return self.value(f"{operation} {self.type(element)} {x}, {y}")

    def fma(self, element, x, y, z):
        x, y, z = (v if isinstance(v, str) else self.constant(element, v) for v in (x, y, z))
        return self.intrinsic("fma", element, x, y, z)

    def intrinsic(self, name, element, *args):
        kind = self.type(element)
        bits = {"float": "f32", "double": "f64", "half": "f16"}.get(element, element)
        suffix = bits if self.lanes == 1 else f"v{self.lanes}{bits}"
        return self.call(kind, f"llvm.{name}.{suffix}", *args)

    def call(self, kind, function, *args):
        """Call an external function of arguments and result all of type `kind`."""
        self.declarations.add(f"declare {kind} @{function}({', '.join([kind] * len(args))})")
        return self.value(f"call {kind} @{function}({', '.join(f'{kind} {a}' for a in args)})")

    def cast(self, operation, x, source, target):
        return self.value(f"{operation} {self.type(source)} {x} to {self.type(target)}")

    def select(self, condition, element, x, y):
        x, y = (v if isinstance(v, str) else self.constant(element, v) for v in (x, y))
        kind = self.type(element)
        return self.value(f"select {self.type('i1')} {condition}, {kind} {x}, {kind} {y}")

    def load(self, element, pointer):
        return self.value(f"load {self.type(element)}, ptr {pointer}, align 1")

    def store(self, element, x, pointer):
        self.emit(f"store {self.type(element)} {x}, ptr {pointer}, align 1")

    def address(self, base, index, element):
        return self.value(f"getelementptr {element}, ptr {base}, i64 {index}")

    def loop(self, start, stop, step, body):
        """`for i in range(start, stop, step): body(i)`, all i64."""
        self.count += 1
        tag = f"l{self.count}"
        # Own blocks before and after the body give the phi fixed predecessors, whatever surrounds
        # or fills it.
        self.emit(f"br label %{tag}.enter")
        self.label(f"{tag}.enter")
        self.emit(f"br label %{tag}.head")
        self.label(f"{tag}.head")
        self.emit(f"%{tag}.i = phi i64 [ {start}, %{tag}.enter ], [ %{tag}.next, %{tag}.latch ]")
        more = self.value(f"icmp slt i64 %{tag}.i, {stop}")
        self.emit(f"br i1 {more}, label %{tag}.body, label %{tag}.done")
        self.label(f"{tag}.body")
        body(f"%{tag}.i")
        self.emit(f"br label %{tag}.latch")
        self.label(f"{tag}.latch")
        self.emit(f"%{tag}.next = add i64 %{tag}.i, {step}")
        self.emit(f"br label %{tag}.head")
        self.label(f"{tag}.done")

    def function(self, head):
        """The whole function `head`, which returns nothing, after the declarations it needs."""
        lines = sorted(self.declarations)
        return "\n".join([*lines, head + " {", "entry:", *self.lines, "  ret void", "}", ""])


def _literal(element, number):
    if element in ("float", "double"):
        import struct

        # LLVM writes both as the bits of a double; a float constant must be exact in single
        # precision.
        if element == "float":
            number = struct.unpack("f", struct.pack("f", number))[0]
        return "0x" + struct.pack(">d", number).hex().upper()
    return str(int(number))


def _mix(b, first, second):
    """The matrix product of one recurrence step: words s[i] and s[i+1] give what is xor-ed onto
    s[i+M].
    """
    joined = b.op("or", "i32", b.op("and", "i32", first, UPPER), b.op("and", "i32", second, LOWER))
    odd = b.op("sub", "i32", 0, b.op("and", "i32", second, 1))
    return b.op("xor", "i32", b.op("lshr", "i32", joined, 1), b.op("and", "i32", odd, MATRIX))


def temper(b, word):
    """The output transform of mt19937."""
    word = b.op("xor", "i32", word, b.op("lshr", "i32", word, 11))
    word = b.op("xor", "i32", word, b.op("and", "i32", b.op("shl", "i32", word, 7), 0x9D2C5680))
    word = b.op("xor", "i32", word, b.op("and", "i32", b.op("shl", "i32", word, 15), 0xEFC60000))
    return b.op("xor", "i32", word, b.op("lshr", "i32", word, 18))


def twist_ir():
    """`void @rl_mt_twist(ptr state)`: one step of the recurrence for all 624 words."""
    b = Builder()

    def step(lanes, source):
        def body(i):
            b.lanes = lanes
            word = b.load("i32", b.address("%state", i, "i32"))
            b.lanes = 1
            after = b.op("add", "i64", i, 1)
            other = b.op("add", "i64", i, source)
            b.lanes = lanes
            following = b.load("i32", b.address("%state", after, "i32"))
            far = b.load("i32", b.address("%state", other, "i32"))
            b.store(
                "i32",
                b.op("xor", "i32", far, _mix(b, word, following)),
                b.address("%state", i, "i32"),
            )
            b.lanes = 1

        return body

    # Reading s[i+1] ahead of writing s[i] is what a vector of words does by itself; M and N - M
    # exceed the width.
    b.loop(0, 224, 16, step(16, M))
    b.loop(224, N - M, 1, step(1, M))
    b.loop(N - M, N - M + 384, 16, step(16, M - N))
    b.loop(N - M + 384, N - 1, 4, step(4, M - N))
    last = b.address("%state", N - 1, "i32")
    mixed = _mix(b, b.load("i32", last), b.load("i32", "%state"))
    b.store(
        "i32", b.op("xor", "i32", b.load("i32", b.address("%state", M - 1, "i32")), mixed), last
    )
    return b.function("define internal void @rl_mt_twist(ptr %state) noinline")


WORDS_IR = """
declare i64 @llvm.smin.i64(i64, i64)
; The next %n tempered words into %out. %out has room for 16 words more than that.
define void @rl_mt_words(ptr %state, ptr %out, i64 %n) {
entry:
  %left.p = getelementptr i8, ptr %state, i64 LEFT
  %next.p = getelementptr i8, ptr %state, i64 NEXT
  %any = icmp sgt i64 %n, 0
  br i1 %any, label %more, label %end
more:
  %todo = phi i64 [ %n, %entry ], [ %rest, %copied ]
  %to = phi ptr [ %out, %entry ], [ %to.next, %copied ]
  %left = load i32, ptr %left.p
  %empty = icmp eq i32 %left, 1
  br i1 %empty, label %refill, label %copy
refill:
  call void @rl_mt_twist(ptr %state)
  store i32 0, ptr %next.p
  br label %copy
copy:
  %left.now = phi i32 [ 625, %refill ], [ %left, %more ]
  %next = load i32, ptr %next.p
  %have = sub i32 %left.now, 1
  %have.64 = zext i32 %have to i64
  %take = call i64 @llvm.smin.i64(i64 %todo, i64 %have.64)
  %next.64 = zext i32 %next to i64
  %from = getelementptr i32, ptr %state, i64 %next.64
  br label %tempering
tempering:
BODY
copied:
  %take.32 = trunc i64 %take to i32
  %left.after = sub i32 %left.now, %take.32
  %next.after = add i32 %next, %take.32
  store i32 %left.after, ptr %left.p
  store i32 %next.after, ptr %next.p
  %rest = sub i64 %todo, %take
  %to.next = getelementptr i32, ptr %to, i64 %take
  %again = icmp sgt i64 %rest, 0
  br i1 %again, label %more, label %end
end:
  ret void
}
"""


def words_ir():
    """The engine's module: `void @rl_mt_words(ptr state, ptr out, i64 n)`, the next `n` words,
    tempered.
    """
    b = Builder()

    def body(i):
        # The last vector may read past the state's words (into its other fields) and write past n:
        # both are ours.
        b.lanes = 16
        word = temper(b, b.load("i32", b.address("%from", i, "i32")))
        b.store("i32", word, b.address("%to", i, "i32"))
        b.lanes = 1

    b.loop(0, "%take", 16, body)
    b.emit("br label %copied")
    text = (
        WORDS_IR.replace("BODY", "\n".join(b.lines))
        .replace("LEFT", str(LEFT))
        .replace("NEXT", str(NEXT))
    )
    return twist_ir() + text
