"""Poisson, binomial and gamma numbers as LLVM IR: samplers that draw until one is accepted.

All in double precision, one number at a time, with the C library's functions. Sources:
W. Hörmann, "The transformed rejection method for generating Poisson random variables", Insurance:
Mathematics and Economics 12, 1993 (algorithm PTRS); W. Hörmann, "The generation of binomial random
variates", Journal of Statistical Computation and Simulation 46, 1993 (algorithm BTRS);
G. Marsaglia, W. Tsang, "A simple method for generating gamma variables", ACM Transactions on
Mathematical Software 26, 2000.
"""

from __future__ import annotations

from rushlight.randomness.engine import Builder
from rushlight.randomness.transforms import frame, normal_ir, unit53

# ln k! less Stirling's approximation of it, for k = 0 ... 9.
STIRLING = (
    0.0810614667953272,
    0.0413406959554092,
    0.0276779256849983,
    0.02079067210376509,
    0.0166446911898211,
    0.0138761288230707,
    0.0118967099458917,
    0.0104112652619720,
    0.00925546218271273,
    0.00833056343336287,
)

# One third as PyTorch has it here: rounded to single precision.
THIRD = 11184811 / 2**25


class _Number:
    """A double of the function being written, with Python's operators."""

    __slots__ = ("b", "name")

    def __init__(self, b, name):
        self.b, self.name = b, name if isinstance(name, str) else b.constant("double", name)

    def _op(operation):
        def forward(self, other):
            return _Number(self.b, self.b.op(operation, "double", self.name, _name(other)))

        def backward(self, other):
            return _Number(self.b, self.b.op(operation, "double", other, self.name))

        return forward, backward

    __add__, __radd__ = _op("fadd")
    __sub__, __rsub__ = _op("fsub")
    __mul__, __rmul__ = _op("fmul")
    __truediv__, __rtruediv__ = _op("fdiv")

    def __neg__(self):
        return _Number(self.b, self.b.value(f"fneg double {self.name}"))

    def _compare(predicate):
        def compare(self, other):
            other = _Number(self.b, _name(other)).name
            return self.b.value(f"fcmp {predicate} double {self.name}, {other}")

        return compare

    __lt__, __le__ = _compare("olt"), _compare("ole")
    __gt__, __ge__ = _compare("ogt"), _compare("oge")


def _name(x):
    return x.name if isinstance(x, _Number) else x


class _Sampler:
    """The body of one sampler: draws, functions, and branches among labels."""

    def __init__(self):
        self.b = Builder()
        self.lines = self.b.lines

    def number(self, x):
        return _Number(self.b, x)

    def uniforms(self, count):
        """The next `count` doubles in [0, 1)."""
        self.b.emit(f"call void @rl_mt_words(ptr %state, ptr %buffer, i64 {2 * count})")
        places = (self.b.address("%buffer", k, "i64") for k in range(count))
        return [self.number(unit53(self.b, self.b.load("i64", place))) for place in places]

    def call(self, function, x):
        return self.number(self.b.call("double", function, x.name))

    def intrinsic(self, function, x):
        return self.number(self.b.intrinsic(function, "double", x.name))

    def both(self, x, y):
        return self.b.value(f"and i1 {x}, {y}")

    def either(self, x, y):
        return self.b.value(f"or i1 {x}, {y}")

    def get(self, variable):
        return self.number(self.b.value(f"load double, ptr %{variable}"))

    def set(self, variable, x):
        self.b.emit(f"store double {self.number(_name(x)).name}, ptr %{variable}")

    def go(self, label):
        self.b.emit(f"br label %{label}")

    def branch(self, condition, yes, no):
        self.b.emit(f"br i1 {condition}, label %{yes}, label %{no}")

    def at(self, label):
        self.b.label(label)


def poisson():
    """Replaces the n means in %out by Poisson numbers: below 10 by products, else by PTRS."""
    s = _Sampler()

    def body(i):
        place = s.b.address("%out", i, "double")
        rate = s.number(s.b.load("double", place))
        s.set("result", 0.0)
        s.branch(rate >= 10.0, "large", "small")

        s.at("small")  # count the uniforms until their product is below e^-rate
        limit = s.call("exp", -rate)
        s.set("product", 1.0)
        s.branch(rate > 0.0, "factor", "done")
        s.at("factor")
        product = s.get("product") * s.uniforms(1)[0]
        s.set("product", product)
        s.branch(product > limit, "count", "done")
        s.at("count")
        s.set("result", s.get("result") + 1.0)
        s.go("factor")

        s.at("large")
        log_rate = s.call("log", rate)
        b = 0.931 + 2.53 * s.intrinsic("sqrt", rate)
        a = -0.059 + 0.02483 * b
        log_inverse_alpha = s.call("log", 1.1239 + 1.1328 / (b - 3.4))
        v_r = 0.9277 - 3.6224 / (b - 2.0)
        s.go("attempt")
        s.at("attempt")
        u, v = s.uniforms(2)
        u = u - 0.5
        us = 0.5 - s.intrinsic("fabs", u)
        k = s.intrinsic("floor", (2.0 * a / us + b) * u + rate + 0.43)
        s.set("result", k)
        s.branch(s.both(us >= 0.07, v <= v_r), "done", "check")
        s.at("check")
        s.branch(s.either(k < 0.0, s.both(us < 0.013, v > us)), "attempt", "weigh")
        s.at("weigh")
        level = s.call("log", v) + log_inverse_alpha - s.call("log", a / (us * us) + b)
        bound = -rate + k * log_rate - s.call("lgamma", k + 1.0)
        s.branch(level <= bound, "done", "attempt")

        s.at("done")
        s.b.store("double", s.get("result").name, place)

    s.b.loop(0, "%n", 1, body)
    s.lines[:0] = ["  %result = alloca double", "  %product = alloca double"]
    return frame("poisson", s.b, 16 + 16)


def _stirling_ir():
    """`double @rl_stirling(double k)`: ln k! less Stirling's approximation."""
    b = Builder()
    k = _Number(b, "%k")
    entries = ", ".join(f"double {b.constant('double', x)}" for x in STIRLING)
    b.emit(f"br i1 {k <= 9.0}, label %table, label %series")
    b.label("table")
    place = b.address("@rl_stirling_table", b.cast("fptosi", "%k", "double", "i64"), "double")
    b.emit(f"ret double {b.value(f'load double, ptr {place}')}")
    b.label("series")
    square = (k + 1.0) * (k + 1.0)
    series = (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1.0)
    b.emit(f"ret double {series.name}")
    body = "\n".join(b.lines)
    return (
        f"@rl_stirling_table = internal constant [{len(STIRLING)} x double] [{entries}]\n"
        f"define internal double @rl_stirling(double %k) {{\nentry:\n{body}\n}}\n"
    )


def binomial():
    """From n pairs (count, probability) in %out, n binomial numbers at its beginning.

    Where count min(p, 1 - p) < 10: the number of geometric waiting times that fit into count; else
    BTRS.
    """
    s = _Sampler()

    def stirling(k):
        return s.number(s.b.value(f"call double @rl_stirling(double {k.name})"))

    def body(i):
        pair = s.b.op("mul", "i64", i, 2)
        second = s.b.address("%out", s.b.op("add", "i64", pair, 1), "double")
        count = s.number(s.b.load("double", s.b.address("%out", pair, "double")))
        prob = s.number(s.b.load("double", second))
        s.set("result", 0.0)
        s.branch(s.either(count <= 0.0, prob <= 0.0), "done", "positive")
        s.at("positive")
        s.set("result", count)
        s.branch(prob >= 1.0, "done", "proper")
        s.at("proper")
        # p is NaN where it is neither over nor under one half.
        s.set("result", float("nan"))
        s.branch(s.either(prob <= 0.5, prob > 0.5), "draw", "done")

        s.at("draw")
        mirrored = prob > 0.5
        p = s.number(s.b.select(mirrored, "double", (1.0 - prob).name, prob.name))
        s.set("result", 0.0)
        s.branch(count * p >= 10.0, "large", "small")

        s.at("small")
        log_q = s.call("log1p", -p)
        s.set("total", 0.0)
        s.go("wait")
        s.at("wait")
        waiting = s.intrinsic("ceil", s.call("log", s.uniforms(1)[0]) / log_q)
        total = s.get("total") + waiting
        s.set("total", total)
        s.branch(total > count, "mirror", "count")
        s.at("count")
        s.set("result", s.get("result") + 1.0)
        s.go("wait")

        s.at("large")
        deviation = s.intrinsic("sqrt", count * p * (1.0 - p))
        b = 1.15 + 2.53 * deviation
        a = -0.0873 + 0.0248 * b + 0.01 * p
        c = count * p + 0.5
        v_r = 0.92 - 4.2 / b
        r = p / (1.0 - p)
        alpha = (2.83 + 5.1 / b) * deviation
        m = s.intrinsic("floor", (count + 1.0) * p)
        s.go("attempt")
        s.at("attempt")
        u, v = s.uniforms(2)
        u = u - 0.5
        us = 0.5 - s.intrinsic("fabs", u)
        k = s.intrinsic("floor", (2.0 * a / us + b) * u + c)
        s.set("result", k)
        s.branch(s.both(us >= 0.07, v <= v_r), "mirror", "check")
        s.at("check")
        s.branch(s.either(k < 0.0, k > count), "attempt", "weigh")
        s.at("weigh")
        level = s.call("log", v * alpha / (a / (us * us) + b))
        bound = (m + 0.5) * s.call("log", (m + 1.0) / (r * (count - m + 1.0)))
        bound = bound + (count + 1.0) * s.call("log", (count - m + 1.0) / (count - k + 1.0))
        bound = bound + (k + 0.5) * s.call("log", r * (count - k + 1.0) / (k + 1.0))
        bound = bound + stirling(m) + stirling(count - m) - stirling(k) - stirling(count - k)
        s.branch(level <= bound, "mirror", "attempt")

        s.at("mirror")
        number = s.get("result")
        s.set(
            "result", s.number(s.b.select(mirrored, "double", (count - number).name, number.name))
        )
        s.go("done")
        s.at("done")
        s.b.store("double", s.get("result").name, s.b.address("%out", i, "double"))

    s.b.loop(0, "%n", 1, body)
    s.lines[:0] = ["  %result = alloca double", "  %total = alloca double"]
    return _stirling_ir() + frame("binomial", s.b, 16 + 16)


def gamma():
    """Replaces the n shapes in %out by gamma numbers of scale 1 (Marsaglia and Tsang's method).

    Where a is 1, for numbers that will be single precision, the shape is handled in that.
    """
    s = _Sampler()
    single = s.b.value("fcmp oeq double %a, 0x3FF0000000000000")

    def rounded(x):
        narrow = s.b.cast("fptrunc", x.name, "double", "float")
        wide = s.b.cast("fpext", narrow, "float", "double")
        return s.number(s.b.select(single, "double", wide, x.name))

    def body(i):
        place = s.b.address("%out", i, "double")
        given = s.number(s.b.load("double", place))
        s.set("result", 0.0)
        s.set("shape", given)
        s.set("scale", 1.0)
        s.branch(given < 1.0, "small", "prepare")
        s.at("small")
        s.branch(s.both(given <= 0.0, given >= 0.0), "done", "boost")
        s.at("boost")
        power = s.number(
            s.b.call("double", "pow", (1.0 - s.uniforms(1)[0]).name, rounded(1.0 / given).name)
        )
        s.set("scale", power)
        s.set("shape", rounded(given + 1.0))
        s.go("prepare")

        s.at("prepare")
        d = rounded(s.get("shape") - THIRD)
        c = 1.0 / s.intrinsic("sqrt", 9.0 * d)
        scale = s.get("scale")
        s.go("attempt")
        s.at("attempt")
        x = s.number(s.b.value("call double @rl_normal(ptr %state)"))
        y = 1.0 + c * x
        s.branch(y <= 0.0, "attempt", "cube")
        s.at("cube")
        v = y * y * y
        u = 1.0 - s.uniforms(1)[0]
        square = x * x
        s.set("result", scale * d * v)
        s.branch(u < 1.0 - 0.0331 * square * square, "done", "weigh")
        s.at("weigh")
        bound = 0.5 * square + d * (1.0 - v + s.call("log", v))
        s.branch(s.call("log", u) < bound, "done", "attempt")

        s.at("done")
        s.b.store("double", s.get("result").name, place)

    s.b.loop(0, "%n", 1, body)
    s.lines[:0] = [f"  %{name} = alloca double" for name in ("result", "shape", "scale")]
    return normal_ir() + frame("gamma", s.b, 16 + 16)


KERNELS = {"poisson": poisson, "binomial": binomial, "gamma": gamma}
