"""What a reduction keeps and how it combines: sums, products, extrema, arg-extrema, moments.

A reducer's state is a tuple of vectors (any number of lanes; one lane in the end).  ``update`` takes one
value a lane, ``merge`` joins two states, ``result`` gives the final expressions' inputs.  Sums of
float32 and shorter add short blocks in float32 and keep those in float64; sums of float64 add short blocks, too, and
carry the rounding errors of adding those along (A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation
endlicher Summen", ZAMM 54, 1974).
"""

NONE = (1 << 63) - 1


class Reducer:
    """Base: ``element`` is the type of values, ``parts`` the element types of the state.

    ``kinds``: kinds of the results; ``types``: machine types in which a ``post`` formula runs.
    """

    kinds = ("f",)
    uses_first = False
    block = run_parts = 0       # steps of a run, and vectors that it keeps
    counted = False
    short = 12          # vectors of the longest row that is reduced with its neighbours

    def __init__(self, element, signed, types):
        self.element, self.signed, self.types = element, signed, types
        self.parts = (element,)

    def only(self, f, valid, v, other):
        """``v`` in valid lanes (all, where ``valid`` is None)."""
        return v if valid is None else f.select(valid, v, f.value(other, v.type))

    def update(self, f, state, v, index, valid):
        return self.merge(f, state, (self.only(f, valid, v, self.neutral),))

    # A *run* is a short stretch whose values may be kept in a cheaper form than the state.  Where runs are ``counted``,
    # ``extend`` gets the number of the step in the run in place of an index, and ``absorb`` the indices of step 0 and
    # how far steps are apart.

    def run(self, f, lanes, first):
        """The empty run."""
        return self.initial(f, lanes, first)

    def extend(self, f, run, v, index, valid):
        return self.update(f, run, v, index, valid)

    def settle(self, f, run):
        """The form of a finished run that is joined with others and absorbed."""
        return run

    def join(self, f, a, b):
        return self.merge(f, a, b)

    def absorb(self, f, state, run):
        """The state with a run."""
        return self.merge(f, state, self.settle(f, run))

    def initial(self, f, lanes, first):
        return tuple(f.value(self.neutral, f"<{lanes} x {p}>") for p in self.parts)

    def result(self, f, state, count, scalars):
        return state


class Sum(Reducer):
    neutral = 0

    def merge(self, f, a, b):
        return (a[0] + b[0],)


class BlockedSum(Sum):
    """Sum of float32: blocks of a few additions in float32, the blocks in float64.

    A block's error is that of a handful of additions, however long the row.
    """

    block, run_parts = 16, 1

    def __init__(self, element, signed, types):
        super().__init__("float", signed, types)
        self.parts = ("double",)

    def update(self, f, state, v, index, valid):
        return self.absorb(f, state, (self.only(f, valid, v, 0.0),))

    def run(self, f, lanes, first):
        return (f.value(0.0, f"<{lanes} x float>"),)

    def extend(self, f, run, v, index, valid):
        return (run[0] + self.only(f, valid, v, 0.0),)

    def join(self, f, a, b):
        return (a[0] + b[0],)

    def absorb(self, f, state, run):
        return (state[0] + run[0].cast("fpext", "double"),)


class BlockedMean(BlockedSum):
    def result(self, f, state, count, scalars):
        # In float64 the reciprocal costs no bits of float32, and a division of many lanes much time.
        return (state[0] * (f.value(1.0, count.type) / count),)


class Compensated(Reducer):
    """Sum of float64: blocks of a few additions, added up together with the errors of doing so."""

    neutral = 0.0
    block, run_parts = 16, 1

    def __init__(self, element, signed, types):
        super().__init__(element, signed, types)
        self.parts = (element, element)

    def update(self, f, state, v, index, valid):
        return self.absorb(f, state, (self.only(f, valid, v, 0.0),))

    def run(self, f, lanes, first):
        return (f.value(0.0, f"<{lanes} x {self.element}>"),)

    def extend(self, f, run, v, index, valid):
        return (run[0] + self.only(f, valid, v, 0.0),)

    def join(self, f, a, b):
        return (a[0] + b[0],)

    def absorb(self, f, state, run):
        total, error = self._add(state[0], run[0])
        return total, state[1] + error

    @staticmethod
    def _add(a, b):
        """a + b and its rounding error, exactly (D. E. Knuth, TAOCP 4.2.2)."""
        total = a + b
        part = total - a
        return total, (a - (total - part)) + (b - part)

    def merge(self, f, a, b):
        total, error = self._add(a[0], b[0])
        return total, (a[1] + b[1]) + error

    def result(self, f, state, count, scalars):
        y = state[0] + state[1]
        # With infinities about the error term is NaN and means nothing.
        return (f.select(y.isnan(), state[0], y),)


class Mean(Sum):
    def result(self, f, state, count, scalars):
        return (state[0] / count,)


class CompensatedMean(Compensated):
    def result(self, f, state, count, scalars):
        return (super().result(f, state, count, scalars)[0] / count,)


class Product(Reducer):
    neutral = 1

    def merge(self, f, a, b):
        return (a[0] * b[0],)


class BlockedProduct(Product):
    """Product of float32: blocks of a few factors in float32, the blocks in float64."""

    block, run_parts = 16, 1

    def __init__(self, element, signed, types):
        super().__init__("float", signed, types)
        self.parts = ("double",)

    def update(self, f, state, v, index, valid):
        return self.absorb(f, state, (self.only(f, valid, v, 1.0),))

    def run(self, f, lanes, first):
        return (f.value(1.0, f"<{lanes} x float>"),)

    def extend(self, f, run, v, index, valid):
        return (run[0] * self.only(f, valid, v, 1.0),)

    def join(self, f, a, b):
        return (a[0] * b[0],)

    def absorb(self, f, state, run):
        return (state[0] * run[0].cast("fpext", "double"),)


class Extremum(Reducer):
    """Largest (or smallest) value; NaN wins.

    A run of floats has the last NaN, if any, beside the best of the numbers: each step waits for one maximum only.
    """

    block, run_parts, short = 16, 2, 64

    def __init__(self, element, signed, types, largest):
        super().__init__(element, signed, types)
        self.largest = largest
        self.neutral = worst(element, signed, largest)

    def beats(self, b, a):
        if b.is_float:
            return b > a if self.largest else b < a
        prefix = "s" if self.signed else "u"
        return b.compare("", prefix + ("gt" if self.largest else "lt"), a)

    def merge(self, f, a, b):
        best = f.select(self.beats(b[0], a[0]), b[0], a[0])
        return (f.select(b[0].isnan(), b[0], best) if b[0].is_float else best,)

    def run(self, f, lanes, first):
        start = self.initial(f, lanes, first)
        return start * 2 if self.element in ("float", "double") else start

    def extend(self, f, run, v, index, valid):
        v = self.only(f, valid, v, self.neutral)
        best = f.select(self.beats(v, run[0]), v, run[0])
        return (best, f.select(v.isnan(), v, run[1])) if len(run) > 1 else (best,)

    def settle(self, f, run):
        return (f.select(run[1].isnan(), run[1], run[0]),) if len(run) > 1 else run


class ArgExtremum(Extremum):
    """The extremum and the smallest index that has it.

    Indices grow along a run, so that only what beats a lane's best is taken: two comparisons and two moves.  A run
    in which nothing beats the worst of all values stands for that value at its first step; lanes of a vector that
    hold no elements do so, too, but their index is larger than that of a lane beside them that does.
    """

    block, counted, short = 1 << 16, True, 12

    def __init__(self, element, signed, types, largest):
        super().__init__(element, signed, types, largest)
        self.parts = (element, "i64")
        self.count = "i64" if element in ("double", "i64") else "i32"

    def initial(self, f, lanes, first):
        value = f.value(self.neutral, f"<{lanes} x {self.element}>")
        return value, f.value(NONE, f"<{lanes} x i64>")

    def update(self, f, state, v, index, valid):
        return self.merge(f, state, (self.only(f, valid, v, self.neutral), self.only(f, valid, index, NONE)))

    def run(self, f, lanes, first):
        return (f.value(self.neutral, f"<{lanes} x {self.element}>"), f.value(0, f"<{lanes} x {self.count}>"))

    def extend(self, f, run, v, index, valid):
        best = run[0]
        if v.is_float:
            take = v.compare("ugt" if self.largest else "ult", "", best) & best.compare("ord", "", best)
        else:
            take = self.beats(v, best)
        if valid is not None:
            take = take & valid
        return f.select(take, v, best), f.select(take, index, run[1])

    def settle(self, f, run):
        return run

    def absorb(self, f, state, run, base, jump):
        return self.merge(f, state, (run[0], base + run[1].cast("zext", "i64") * jump))

    def merge(self, f, a, b):
        take, same = self.beats(b[0], a[0]), b[0].eq(a[0])
        if b[0].is_float:
            nan_a, nan_b = a[0].isnan(), b[0].isnan()
            take = take | (nan_b & ~nan_a)
            same = same | (nan_a & nan_b)
        take = take | (same & (b[1] < a[1]))
        return f.select(take, b[0], a[0]), f.select(take, b[1], a[1])


class ArgIndex(ArgExtremum):
    """Only the index."""

    kinds = ("i",)

    def result(self, f, state, count, scalars):
        return (state[1],)


class ValueAndIndex(ArgExtremum):
    """max(dim): the value, then the index."""

    kinds = ("f", "i")


class Logical(Reducer):
    """any or all of bools kept as bytes."""

    kinds = ("b",)

    def __init__(self, types, every):
        super().__init__("i8", False, types)
        self.neutral, self.every = int(every), every

    def merge(self, f, a, b):
        return (a[0] & b[0] if self.every else a[0] | b[0],)

    def result(self, f, state, count, scalars):
        return (state[0].ne(0),)


class Moments(Reducer):
    """Variance and mean: sums of d and d^2 in float64, d = x - first element.

    Subtracting an element keeps the sums small next to the spread whatever the mean is.
    """

    kinds = ("f", "f")
    uses_first = True

    def __init__(self, types):
        super().__init__("double", True, types)
        self.parts = ("double", "double", "double")

    def initial(self, f, lanes, first):
        zero = f.value(0.0, f"<{lanes} x double>")
        return first, zero, zero

    def update(self, f, state, v, index, valid):
        d = self.only(f, valid, v - state[0], 0.0)
        return state[0], state[1] + d, f.fma(d, d, state[2])

    def merge(self, f, a, b):
        # All parts of one reduction subtract the same element.
        return a[0], a[1] + b[1], a[2] + b[2]

    def result(self, f, state, count, scalars):
        """Scalar 0 is the correction: the divisor is max(0, count - correction)."""
        first, s1, s2 = state
        free = count - scalars[0]
        zero = f.value(0.0, count.type)
        free = f.select(free < zero, zero, free)
        squares = s2 - s1 * s1 / count
        squares = f.select(squares < 0.0, f.value(0.0, squares.type), squares)
        return squares / free, first + s1 / count


class ExactMoments(Moments):
    """The same for float64: the sums' rounding errors are added up, too.

    What the sums lose when the variance is taken from them is up to their length times what they have lost, where the
    first element is far from the others.
    """

    def __init__(self, types):
        super().__init__(types)
        self.parts = ("double",) * 5

    def initial(self, f, lanes, first):
        zero = f.value(0.0, f"<{lanes} x double>")
        return first, zero, zero, zero, zero

    def update(self, f, state, v, index, valid):
        first, s1, c1, s2, c2 = state
        d = self.only(f, valid, v - first, 0.0)
        square = d * d
        s1, e1 = Compensated._add(s1, d)
        s2, e2 = Compensated._add(s2, square)
        return first, s1, c1 + e1, s2, c2 + (e2 + f.fma(d, d, f.value(0.0, d.type) - square))

    def merge(self, f, a, b):
        s1, e1 = Compensated._add(a[1], b[1])
        s2, e2 = Compensated._add(a[3], b[3])
        return a[0], s1, (a[2] + b[2]) + e1, s2, (a[4] + b[4]) + e2

    def result(self, f, state, count, scalars):
        first, s1, c1, s2, c2 = state
        variance, mean = super().result(f, (first, s1, s2), count, scalars)
        zero, two = f.value(0.0, count.type), f.value(2.0, count.type)
        square = s1 * s1
        error = f.fma(s1, s1, zero - square) + two * s1 * c1
        part = square / count
        error = (error + f.fma(zero - part, count, square)) / count
        squares = (s2 - part) + (c2 - error)
        squares = f.select(squares < 0.0, zero, squares)
        # Squares beyond all numbers make no NaN of finite ones.
        most = f.value(float("inf"), count.type)
        variance = f.select((s2 >= most) & (s1 * s1 >= most) & (s1 < most) & (zero - s1 < most), most, variance)
        free = count - scalars[0]
        better = squares / f.select(free < zero, zero, free), first + (s1 + c1) / count
        # With infinities about the errors are NaN and mean nothing.
        return tuple(f.select(b.isnan(), plain, b) for b, plain in zip(better, (variance, mean), strict=True))


def worst(element, signed, largest):
    """What every value beats, or equals."""
    if element in ("float", "double"):
        return float("-inf") if largest else float("inf")
    bits = int(element[1:])
    if signed:
        return -(1 << (bits - 1)) if largest else (1 << (bits - 1)) - 1
    return 0 if largest else (1 << bits) - 1


def make(kind, element, signed, types):
    """The reducer of a kind for values of LLVM type ``element`` computed in ``types``."""
    floating = element in ("float", "double")
    exact = types.f == "double" and floating
    wide = "double" if floating else "i64"
    if floating and not exact and kind in ("sum", "mean"):
        return (BlockedSum if kind == "sum" else BlockedMean)(element, signed, types)
    if kind == "sum":
        return (Compensated if exact else Sum)(wide, signed, types)
    if kind == "mean":
        return (CompensatedMean if exact else Mean)("double", True, types)
    if kind == "prod":
        if floating and not exact:
            return BlockedProduct(element, signed, types)
        return Product(wide, signed, types)
    if kind in ("max", "min"):
        return Extremum(element, signed, types, kind == "max")
    if kind in ("argmax", "argmin"):
        return ArgIndex(element, signed, types, kind == "argmax")
    if kind in ("max_index", "min_index"):
        return ValueAndIndex(element, signed, types, kind == "max_index")
    if kind in ("any", "all"):
        return Logical(types, kind == "all")
    if kind == "var_mean":
        return (ExactMoments if exact else Moments)(types)
    raise NotImplementedError(f"reduction {kind!r}")
