"""Short Fourier transforms as straight-line code over vectors of complex numbers.

A complex number is a pair (re, im) of vectors; lanes are transforms of their own. ``dft`` writes
``X[k] = sum_j x[j] exp(-2 pi i j k / n)``: by hand for 2 and 4, other composite lengths by Cooley and Tukey's
decomposition ("An algorithm for the machine calculation of complex Fourier series", 1965) with constant factors, odd
primes by sums and differences of x[j] and x[p - j] (Singleton, "An algorithm for computing the mixed radix fast Fourier
transform", 1969). Longer transforms put them together in stages: ``fft_stages``.
"""

from math import cos, gcd, pi, sin, sqrt

# Lengths that have straight-line code.
RADICES = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20)


def root(t, n):
    """exp(-2 pi i t / n) as (cos, -sin), from the angle's place in its octant."""
    t %= n
    g = gcd(t, n) or 1
    t, n = t // g, n // g
    # Angles are taken from the nearest multiple of a quarter.
    quarter = (4 * t + n // 2) // n
    angle = 2 * pi * (4 * t - quarter * n) / (4 * n)
    c, s = cos(angle), sin(angle)
    for _ in range(quarter % 4):
        c, s = -s, c
    return c, -s


class Complex:
    """Arithmetic on pairs of vectors of a function; `fused`: the CPU has multiply-adds."""

    def __init__(self, f, fused):
        self.f, self.fused = f, fused

    def fma(self, a, b, c):
        """a * b + c, rounded once where the CPU can."""
        return self.f.fma(a, b, c) if self.fused else a * b + c

    def add(self, a, b):
        return a[0] + b[0], a[1] + b[1]

    def sub(self, a, b):
        return a[0] - b[0], a[1] - b[1]

    def mul(self, a, c, s):
        """(re, im) times (c, s)."""
        re, im = a
        return self.fma(re, c, -(im * s)), self.fma(im, c, re * s)

    def turn(self, a, t, n):
        """a * exp(-2 pi i t / n)."""
        t %= n
        re, im = a
        if 8 * t % n:
            c, s = root(t, n)
            return self.mul(a, self.f.value(c, re.type), self.f.value(s, re.type))
        eighths = 8 * t // n
        if eighths % 2:
            h = sqrt(0.5)
            re, im = (re + im) * h, (im - re) * h
        for _ in range(eighths // 2):
            re, im = im, -re
        return re, im

    def dft(self, x):
        """The transform of a list of complex numbers."""
        n = len(x)
        if n == 1:
            return x
        if n == 2:
            return [self.add(*x), self.sub(*x)]
        if n == 4:
            return self._four(x)
        a = _split(n)
        return self._prime(x) if a == n else self._composite(x, a, n // a)

    def _four(self, x):
        even, odd = self.add(x[0], x[2]), self.add(x[1], x[3])
        p, (re, im) = self.sub(x[0], x[2]), self.sub(x[1], x[3])
        return [self.add(even, odd), (p[0] + im, p[1] - re), self.sub(even, odd), (p[0] - im, p[1] + re)]

    def _composite(self, x, a, b):
        n = a * b
        parts = [[self.turn(v, j * k, n) for k, v in enumerate(self.dft(x[j::b]))] for j in range(b)]
        out = [None] * n
        for k in range(a):
            out[k::a] = self.dft([part[k] for part in parts])
        return out

    def _prime(self, x):
        p, half = len(x), len(x) // 2
        sums = [self.add(x[j], x[p - j]) for j in range(1, half + 1)]
        differences = [self.sub(x[j], x[p - j]) for j in range(1, half + 1)]
        out = [None] * p
        total = x[0]
        for v in sums:
            total = self.add(total, v)
        out[0] = total
        for k in range(1, half + 1):
            even, odd = x[0], None
            for j in range(1, half + 1):
                c, s = root(j * k, p)
                u, v = sums[j - 1], differences[j - 1]
                even = self.fma(u[0], c, even[0]), self.fma(u[1], c, even[1])
                odd = (v[0] * -s, v[1] * -s) if odd is None else (
                    self.fma(v[0], -s, odd[0]), self.fma(v[1], -s, odd[1]))
            out[k] = even[0] + odd[1], even[1] - odd[0]
            out[p - k] = even[0] - odd[1], even[1] + odd[0]
        return out


def _split(n):
    """The first factor of a decomposition: 4 where it divides, else the smallest prime."""
    if n % 4 == 0:
        return 4
    return next(d for d in (2, 3, 5, 7, 11, 13, n) if n % d == 0)
