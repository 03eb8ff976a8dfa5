"""float32 matrix products as products of bfloat16 pieces on AMX tiles.

A float32 number has 24 significant bits, three times a bfloat16's 8, and the same exponents. Packing splits
each x into

    x0 = x to 8 bits,  x1 = (x - x0) to 8 bits,  x2 = x - x0 - x1

exactly: x - x0 has at most 16 bits, x - x0 - x1 at most 8. Then

    x y = x0 y0 + (x0 y1 + x1 y0) + (x0 y2 + x1 y1 + x2 y0) + dropped,
    |dropped| = |x1 y2 + x2 y1 + x2 y2| <= (2^-24 + 2^-34) |x y|

(|x1| <= 2^-8 |x| and |x2| <= 2^-17 |x|: half a unit of the last place kept, at worst beside a significand of
1). For a block of k's a float32 accumulator first gets the five small products of every k, then x0 y0 of
every k; blocks are added up at the end. Each step of 32 k's is summed from zero in TDPBF16PS (two chains of
16 fused multiply-adds, then their sum), so that large sums are rounded once in 32 k's, where fused
multiply-adds round them 32 times. With u = 2^-24, b k's to a block and s = 2^-7 for what small sums add,

    |error| <= (17 + ceil(b / 32) (1 + 5 s) + ceil(k / b)) (1 + 2^-6) u |A| |B|       (first order)

against k u |A| |B| for a plain sum in order: less from k = 32 on.

None of this holds where pieces or products leave the range of normal numbers: tiles flush subnormal numbers
to zero, and infinity times a piece 0 is NaN. So packing records the largest and the least non-zero
magnitude of both operands; with the exponents high and low of their leading bits a slab is fit if

    high(A) <= 126, high(B) <= 126            x0 can't round to infinity; no infinity, no NaN
    low(A) >= -103, low(B) >= -103            the last bit of x, 2^(low - 23), is a normal number
    high(A) + high(B) + log2(k) <= 124        no sum overflows unless the plain one may, too
    low(A) + low(B) >= -96                    what is flushed doesn't matter

and otherwise ``rl_inner``, the product by fused multiply-adds, does it. (The last: an element of C sees
at most 6.4 k products and sums that are flushed, each below 2^-126, together less than k 2^-123. Unless all
its products are 0, |A| |B| is at least 2^-96 there, so the loss is below k 2^-27 |A| |B| = k u / 8 |A| |B|.)
Where only the last condition fails, it may hold for the sums all the same: they are computed, and taken if
each of them is at least 2^-96 in magnitude.

x0 y0 + x0 y1 + x1 y0 alone give about 16 bits ("high" precision), x0 y0 gives 8 ("medium").

References: Henry, Tang, Heinecke, "Leveraging the bfloat16 artificial intelligence datatype for
higher-precision computations", ARITH 2019; Ootomo, Yokota, "Recovering single precision accuracy from
tensor cores while surpassing the FP32 theoretical peak performance", IJHPCA 36 (2022).
"""

from rushlight.compiler.templates.gemm_amx import _FLOATS, _INTS, Kind

# Pieces of each operand, and which products in which order: few changes of operands in a pass.
_PASSES = {
    "highest": (3, (((2, 0), (1, 0), (1, 1), (0, 1), (0, 2)), ((0, 0),))),
    "high": (2, (((1, 0), (0, 1), (0, 0)),)),
    "medium": (1, (((0, 0),),)),
}
_BIAS = 127
_HIGHEST, _LEAST, _LARGEST_PRODUCT, _LEAST_PRODUCT = 126, -103, 124, -96


class Split(Kind):
    """float32 operands in one, two or three pieces of bfloat16: ``precision`` medium, high or highest."""

    checked = True

    def __init__(self, precision: str):
        self.pieces, self.passes = _PASSES[precision]
        self.apart = precision == "highest"
        super().__init__(f"float32 {precision}", "float", 4, 2, "bf16", "float", "float", (64, 64, 64))
        self.balance = {"highest": 48, "high": 32, "medium": 24}[precision]

    def across(self, f, at, step, seen):
        """Two k's of 16 neighbours as pairs, for each piece."""
        even, odd = (self._split(f, f.load(_FLOATS, p, align=1), seen) for p in (at, at + step))
        return [low.lshr(16) | high for low, high in zip(even, odd, strict=True)]

    def along(self, f, at, seen):
        """32 k's of one row as 16 pairs, for each piece."""
        first, last = (self._split(f, f.load(_FLOATS, p, align=1), seen) for p in (at, at + 64))
        return [_upper_halves(f, x, y) for x, y in zip(first, last, strict=True)]

    def _split(self, f, x, seen):
        """The pieces of a vector, as float32 bits whose lower halves are zero."""
        low, high = seen
        size = x.bits() & 0x7FFFFFFF
        high.set(f.intrinsic("umax", high.get(), size))
        # Zero becomes the largest number: it is no least magnitude.
        low.set(f.intrinsic("umin", low.get(), size - 1))
        pieces = []
        for q in range(self.pieces):
            bits = x.bits()
            if self.pieces == 1:
                bits = (bits + (bits.lshr(16) & 1) + 0x7FFF) & -0x10000
            elif q < 2:
                # A tie may go either way: both leave half a unit.
                bits = (bits + 0x8000) & -0x10000
            pieces.append(bits)
            if q + 1 < self.pieces:
                x = x - bits.bits()
        return pieces

    # ----- the range of magnitudes: 16 greatest ones, then 16 least ones less 1, as bits -----

    def clear(self, f, ranges):
        """Begin with no numbers at all."""
        f.store(f.value(0, _INTS), ranges)
        f.store(f.value(-1, _INTS), ranges + 64)

    def begin(self, f, ranges):
        """The range as variables (least, greatest)."""
        return f.var(_INTS, f.load(_INTS, ranges + 64)), f.var(_INTS, f.load(_INTS, ranges))

    def end(self, f, ranges, seen):
        """Put the variables back."""
        low, high = seen
        f.store(high.get(), ranges)
        f.store(low.get(), ranges + 64)

    def merge(self, f, ranges, low, high):
        """Widen the range in the two int64 at ``low`` and ``high``; other threads may do so, too."""
        for at, op, vectors in ((high, "umax", ranges), (low, "umin", ranges + 64)):
            most = f.intrinsic(f"vector.reduce.{op}", f.load(_INTS, vectors), result="i32").cast("zext", "i64")
            f.line(f"{'%' + f.fresh()} = atomicrmw {op} ptr {at.name}, i64 {most.name} monotonic, align 8")

    def judge(self, f, job):
        """Whether the slab needs another kind of arithmetic; and whether that depends on its sums."""
        high = [job.a_high.lshr(23) - _BIAS, job.b_high.lshr(23) - _BIAS]
        unfit = (high[0] > _HIGHEST) | (high[1] > _HIGHEST)
        if self.pieces == 1:
            return unfit, f.value(False, "i1")
        # Where there are no numbers but 0, nothing is small.
        low = [f.select(x.eq(0xFFFFFFFF), f.value(_BIAS), (x + 1).lshr(23) - _BIAS) for x in (job.a_low, job.b_low)]
        depth = 64 - f.intrinsic("ctlz", job.k - 1, f.value(False, "i1"))
        unfit = unfit | (high[0] + high[1] + depth > _LARGEST_PRODUCT)
        unfit = unfit | (low[0] < _LEAST) | (low[1] < _LEAST)
        return unfit, low[0] + low[1] < _LEAST_PRODUCT

    def small(self, f, sums, mask):
        """Whether any of the sums in ``mask`` is so small that products flushed to zero might matter."""
        below = (sums.bits() & 0x7FFFFFFF) < ((_LEAST_PRODUCT + _BIAS) << 23)
        return f.intrinsic("vector.reduce.or", below & mask, result="i1")


def _upper_halves(f, x, y):
    """The upper 16 bits of 32 integers, in order, as 16 integers."""
    halves = [f.emit("<32 x i16>", f"bitcast {_INTS} {v.name} to <32 x i16>") for v in (x, y)]
    upper = f.shuffle(*halves, [2 * i + 1 for i in range(32)])
    return f.emit(_INTS, f"bitcast <32 x i16> {upper.name} to {_INTS}")
