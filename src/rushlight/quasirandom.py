"""Sobol' sequences: points that fill the unit cube more evenly than random ones.

Sobol', "On the distribution of points in a cube", USSR Comput. Math. 7 (1967); direction numbers of Joe and Kuo,
"Constructing Sobol' sequences with better two-dimensional projections", SIAM J. Sci. Comput. 30 (2008).
"""

import numpy as np

import rushlight as torch

__all__ = ["SobolEngine"]

_tables = None


def _directions(dimension, bits):
    """Direction numbers (dimension, bits), the leading bit of each at the top of `bits` bits."""
    global _tables
    if _tables is None:
        from importlib.resources import files
        with files("scipy.stats").joinpath("_sobol_direction_numbers.npz").open("rb") as file:
            data = np.load(file)
            _tables = data["poly"].astype(np.int64), data["vinit"].astype(np.int64)
    polynomials, first = _tables
    v = np.zeros((dimension, bits), np.int64)
    v[0] = 1
    for d in range(1, dimension):
        p = int(polynomials[d])
        degree = p.bit_length() - 1
        v[d, :degree] = first[d, :degree]
        for j in range(degree, bits):
            new = v[d, j - degree] ^ (v[d, j - degree] << degree)
            for k in range(1, degree):
                if p >> (degree - k) & 1:
                    new ^= v[d, j - k] << k
            v[d, j] = new
    return v << np.arange(bits - 1, -1, -1)


class SobolEngine:
    """Draws the points of a Sobol' sequence one after another.

    Args:
        dimension: of the points, 1 to 21201.
        scramble: by random lower triangular matrices and a random shift (Matousek, "On the L2-discrepancy for anchored
            boxes", J. Complexity 14, 1998).
        seed: of the scrambling; default from the default generator.
    """

    MAXBIT = 30
    MAXDIM = 21201

    def __init__(self, dimension, scramble=False, seed=None):
        if not 1 <= dimension <= self.MAXDIM:
            raise ValueError(f"Supported range of dimensionality for SobolEngine is [1, {self.MAXDIM}]")
        self.dimension, self.scramble, self.seed = dimension, scramble, seed
        self._v = _directions(dimension, self.MAXBIT)
        self._shift = np.zeros(dimension, np.int64)
        if scramble:
            self._scramble()
        self.reset()

    def _scramble(self):
        g = None
        if self.seed is not None:
            g = torch.Generator()
            g.manual_seed(self.seed)
        bits = self.MAXBIT
        shift = torch.randint(2, (self.dimension, bits), generator=g).numpy()
        self._shift = (shift << np.arange(bits)).sum(1)
        lower = np.tril(torch.randint(2, (self.dimension, bits, bits), generator=g).numpy())
        lower[:, np.arange(bits), np.arange(bits)] = 1
        # Row r of a matrix gives bit r, from the top, of its product with a direction number.
        place = np.arange(bits - 1, -1, -1)
        digits = self._v[:, None, :] >> place[:, None] & 1                   # dimension, bit from the top, number
        product = np.einsum("dij,djk->dik", lower, digits) & 1
        self._v = (product << place[:, None]).sum(1)

    def reset(self):
        """Begin again with the first point; returns the engine."""
        self._state, self.num_generated = self._shift.copy(), 0
        return self

    def _next(self, n):
        """The next n points as integers: each differs from the one before by one direction number (Gray code)."""
        out = np.empty((n, self.dimension), np.int64)
        for i in range(n):
            if self.num_generated:
                k = self.num_generated - 1
                lowest_zero = (~k & k + 1).bit_length() - 1
                self._state ^= self._v[:, lowest_zero]
            self.num_generated += 1
            out[i] = self._state
        return out

    def draw(self, n=1, out=None, dtype=None):
        """The next `n` points: (n, dimension) in [0, 1), of the default dtype."""
        dtype = torch.get_default_dtype() if dtype is None else dtype
        points = torch.from_numpy(self._next(n) * 2.0 ** -self.MAXBIT).to(dtype)
        if out is None:
            return points
        return out.resize_(points.shape).copy_(points)

    def draw_base2(self, m, out=None, dtype=None):
        """The next ``2**m`` points; ValueError unless the number drawn so far is a power of 2 then, too."""
        n = 2 ** m
        total = self.num_generated + n
        if total & total - 1:
            raise ValueError("The balance properties of Sobol' points require n to be a power of 2. "
                             f"{self.num_generated} points have been previously generated, then: "
                             f"n={self.num_generated}+2**{m}={total}. If you still want to do this, please use "
                             "'SobolEngine.draw()' instead.")
        return self.draw(n, out=out, dtype=dtype)

    def fast_forward(self, n):
        """Leave out the next `n` points; returns the engine."""
        if n:
            # After k points: the exclusive or of the numbers where the Gray code of k - 1 has ones.
            self.num_generated += n
            last = self.num_generated - 1
            gray = last ^ last >> 1
            state = self._shift.copy()
            for bit in range(self.MAXBIT):
                if gray >> bit & 1:
                    state ^= self._v[:, bit]
            self._state = state
        return self

    def __repr__(self):
        text = f"dimension={self.dimension}"
        if self.scramble:
            text += ", scramble=True"
        if self.seed is not None:
            text += f", seed={self.seed}"
        return f"SobolEngine({text})"
