"""Minimal filtering F(m, 3) along one axis: m outputs of windows of three by m + 2 products instead of 3 m.

    y = A' ((G w) * (B' d))         w 3, d m + 2, y m, * by elements

for m of 2 (points 0, 1, -1, infinity) and 4 (0, a, -a, b, -b, infinity). For 4 the points a = 5/8 and b = 3/2 are used:
of those whose squares are short numbers their errors are about the least, half of those of 1 and 2. Of a plane with 4
along one axis and 2 along the other the error is 2 to 3.5 times that of direct sums, with 4 along both 4 to 7 times.

Windows with steps of two see even places by two of their weights and odd ones by the third. The former are windows of
two with steps of one, 2 outputs of which take 3 products, so 2 outputs take 5 instead of 6. Products that only one
output has are summed with others of that: 3 sums. Coefficients are 0, 1 and -1, so errors are those of direct sums or
little more.

A. Toom (1963) and S. Cook (1966) for the polynomials; S. Winograd, Arithmetic Complexity of Computations (1980);
B. Barabasz et al., "Error analysis and improving the accuracy of Winograd convolution for deep neural networks", ACM
TOMS 2020, for the choice of points.
"""

from rushlight.compiler.templates.conv_tile import multiply_add

_A, _B = 0.625, 1.5
_AA, _BB = _A * _A, _B * _B
_FACTOR_A, _FACTOR_B = 2 * _AA * (_AA - _BB), 2 * _BB * (_BB - _AA)


def _alike(n):
    """Products (sum, weight, place) of as many sums as weights."""
    return tuple((i, i, i) for i in range(n))


class Two:
    """F(2, 3)."""

    outputs, places, weights, sums, products = 2, 4, 4, 4, _alike(4)

    @staticmethod
    def of_data(d):
        """B' d."""
        return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]

    @staticmethod
    def of_weights(g):
        """G g."""
        ends, half = (g[0] + g[2]) * 0.5, g[1] * 0.5
        return [g[0], ends + half, ends - half, g[2]]

    @staticmethod
    def of_products(m):
        """A' m."""
        return [m[0] + m[1] + m[2], m[1] - m[2] - m[3]]

    @staticmethod
    def of_gradients(e):
        """A e."""
        return [e[0], e[0] + e[1], e[0] - e[1], 0 - e[1]]

    @staticmethod
    def of_sums(m):
        """G' m."""
        both = (m[1] + m[2]) * 0.5
        return [m[0] + both, (m[1] - m[2]) * 0.5, m[3] + both]


def _plus(factor, x, y):
    """factor x + y."""
    return multiply_add(x.f, x, x.f.value(factor, x.type), y)


def _pair(factor, odd, even):
    """even + factor odd, even - factor odd."""
    return _plus(factor, odd, even), _plus(-factor, odd, even)


class Four:
    """F(4, 3)."""

    outputs, places, weights, sums, products = 4, 6, 6, 6, _alike(6)

    @staticmethod
    def of_data(d):
        """B' d."""
        return [_plus(_AA * _BB, d[0], _plus(-_AA - _BB, d[2], d[4])),
                *_pair(_A, _plus(-_BB, d[1], d[3]), _plus(-_BB, d[2], d[4])),
                *_pair(_B, _plus(-_AA, d[1], d[3]), _plus(-_AA, d[2], d[4])),
                _plus(_AA * _BB, d[1], _plus(-_AA - _BB, d[3], d[5]))]

    @staticmethod
    def of_weights(g):
        """G g."""
        return [g[0] * (1 / (_AA * _BB)),
                *_pair(_A / _FACTOR_A, g[1], _plus(_AA, g[2], g[0]) * (1 / _FACTOR_A)),
                *_pair(_B / _FACTOR_B, g[1], _plus(_BB, g[2], g[0]) * (1 / _FACTOR_B)),
                g[2]]

    @staticmethod
    def of_products(m):
        """A' m."""
        even_a, odd_a, even_b, odd_b = m[1] + m[2], m[1] - m[2], m[3] + m[4], m[3] - m[4]
        return [m[0] + even_a + even_b, _plus(_B, odd_b, odd_a * _A), _plus(_BB, even_b, even_a * _AA),
                _plus(_B * _BB, odd_b, _plus(_A * _AA, odd_a, m[5]))]

    @staticmethod
    def of_gradients(e):
        """A e."""
        return [e[0], *_pair(_A, _plus(_AA, e[3], e[1]), _plus(_AA, e[2], e[0])),
                *_pair(_B, _plus(_BB, e[3], e[1]), _plus(_BB, e[2], e[0])), e[3]]

    @staticmethod
    def of_sums(m):
        """G' m."""
        even_a, odd_a = (m[1] + m[2]) * (1 / _FACTOR_A), (m[1] - m[2]) * (_A / _FACTOR_A)
        even_b, odd_b = (m[3] + m[4]) * (1 / _FACTOR_B), (m[3] - m[4]) * (_B / _FACTOR_B)
        return [_plus(1 / (_AA * _BB), m[0], even_a + even_b), odd_a + odd_b,
                _plus(_BB, even_b, _plus(_AA, even_a, m[5]))]


class TwoApart:
    """2 outputs of windows of three with steps of two."""

    outputs, places, weights, sums = 2, 5, 4, 3
    products = (0, 0, 0), (0, 1, 1), (1, 2, 2), (2, 3, 3), (2, 1, 4)

    @staticmethod
    def of_data(d):
        """B' d."""
        return [d[0] - d[2], d[1], d[2], d[4] - d[2], d[3]]

    @staticmethod
    def of_weights(g):
        """G g."""
        return [g[0], g[1], g[0] + g[2], g[2]]

    @staticmethod
    def of_products(m):
        """A' m, of the sums."""
        return [m[0] + m[1], m[1] + m[2]]


class Cell:
    """Outputs computed together: ``height`` (2 or 4) rows of two; with steps of 1, or with 2 of 2."""

    def __init__(self, height, step=1):
        self.height, self.step = height, step
        self._down, self._along = {(2, 1): (Two, Two), (4, 1): (Four, Two), (2, 2): (TwoApart, TwoApart)}[height, step]
        down, along = self._down, self._along
        self.rows, self.columns = down.places, along.places         # of the window of data
        self.sums_across = along.sums
        self.positions, self.weights, self.sums = (
            getattr(down, name) * getattr(along, name) for name in ("places", "weights", "sums"))
        # (sum, weight, position) of each product, by sums.
        self.products = sorted((p[0] * along.sums + q[0], p[1] * along.weights + q[1], p[2] * along.places + q[2])
                               for p in down.products for q in along.products)

    def transform(self, name, rows):
        """A transform of a matrix, which is a list of rows: the values of the result, row by row."""
        columns = [getattr(self._down, name)(list(column)) for column in zip(*rows, strict=True)]
        return [value for row in zip(*columns, strict=True) for value in getattr(self._along, name)(list(row))]
