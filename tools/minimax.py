"""Fit the polynomials of the compiler's vector math and write ``codegen/coefficients.py``.

Each entry is the polynomial of given degree with the smallest maximal weighted error on an interval
(Remez exchange in 50-digit arithmetic; see W. Fraser, "A Survey of Methods of Computing Minimax and
Near-Minimax Polynomial Approximations", J. ACM 12, 1965).  Needs mpmath:  python tools/minimax.py
"""

from pathlib import Path

import mpmath as mp

mp.mp.dps = 50


def remez(function, low, high, degree, weight, rounds=12):
    """Coefficients (constant term first) and the maximal weighted error."""
    n = degree + 2
    points = [
        (low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * i / (n - 1)) for i in range(n)
    ]
    grid_size = 40 * n
    grid = [
        (low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * i / grid_size)
        for i in range(grid_size + 1)
    ]
    values, weights = [function(x) for x in grid], [weight(x) for x in grid]
    for _ in range(rounds):
        system = mp.matrix(n, n)
        right = mp.matrix(n, 1)
        for i, x in enumerate(points):
            for k in range(degree + 1):
                system[i, k] = x**k
            system[i, n - 1] = (-1) ** i / weight(x)
            right[i] = function(x)
        solution = mp.lu_solve(system, right)
        coefficients = [solution[k] for k in range(degree + 1)]
        errors = [
            w * (mp.polyval(coefficients[::-1], x) - v)
            for x, v, w in zip(grid, values, weights, strict=True)
        ]
        # One extremum for each run of equal sign.
        peaks, best = [], 0
        for i in range(1, len(grid)):
            if mp.sign(errors[i]) != mp.sign(errors[best]):
                peaks.append(best)
                best = i
            elif abs(errors[i]) > abs(errors[best]):
                best = i
        peaks.append(best)
        while len(peaks) > n:
            del peaks[0 if abs(errors[peaks[0]]) < abs(errors[peaks[-1]]) else -1]
        if len(peaks) < n:
            break
        points = [grid[i] for i in peaks]
        worst = max(abs(errors[i]) for i in peaks)
        least = min(abs(errors[i]) for i in peaks)
        if worst < least * mp.mpf("1.01"):
            break
    return coefficients, max(abs(e) for e in errors)


def safe(function, at_zero):
    """A function with a removable singularity at 0."""
    return lambda x: mp.mpf(at_zero) if abs(x) < mp.mpf("1e-15") else function(x)


LN2 = mp.log(2)
HALF = LN2 / 2 * mp.mpf("1.0001")
ROOT = mp.sqrt(2) - 1
SIN = mp.pi / 4 * mp.mpf("1.0001")
TAN_PI_8 = mp.tan(mp.pi / 8) * mp.mpf("1.0001")

exp_tail = safe(lambda r: (mp.expm1(r) - r) / r**2, 0.5)
exp2_tail = safe(lambda r: mp.expm1(r * LN2) / r, LN2)
log_tail = safe(lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3, mp.mpf(1) / 3)


def atanh_tail(z):
    """(log((1 + s) / (1 - s)) - 2 s) / s with z = s * s, divided by z."""
    if z < mp.mpf(10) ** -40:
        return mp.mpf(2) / 3
    s = mp.sqrt(z)
    return (2 * mp.atanh(s) - 2 * s) / (s * z)


def sin_tail(z):
    r = mp.sqrt(z)
    return -mp.mpf(1) / 6 if z < mp.mpf(10) ** -40 else (mp.sin(r) - r) / (r * z)


def cos_tail(z):
    r = mp.sqrt(z)
    return mp.mpf(1) / 24 if z < mp.mpf(10) ** -30 else (mp.cos(r) - 1 + z / 2) / z**2


def atan_tail(z):
    r = mp.sqrt(z)
    return -mp.mpf(1) / 3 if z < mp.mpf(10) ** -40 else (mp.atan(r) - r) / (r * z)


def tanh_tail(z):
    r = mp.sqrt(z)
    return -mp.mpf(1) / 3 if z < mp.mpf(10) ** -40 else (mp.tanh(r) - r) / (r * z)


def erf_small(z):
    r = mp.sqrt(z)
    return (2 / mp.sqrt(mp.pi) if z == 0 else mp.erf(r) / r) - 1


def log_erfc(x):
    return mp.log(mp.erfc(x))


def of_erfc(t, k=4):
    """(1 + 2 x) exp(x^2) erfc(x) with t = (x - k) / (x + k)."""
    x = k * (1 + t) / (1 - t)
    return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)


def of_erfc_short(t):
    return of_erfc(t, 3)


def of_erfinv(w):
    """erfinv(x) / x with w = -log(1 - x^2)."""
    x = mp.sqrt(-mp.expm1(-w))
    return mp.sqrt(mp.pi) / 2 if w < mp.mpf("1e-20") else mp.erfinv(x) / x


def erfinv_middle(v):
    return of_erfinv(v + mp.mpf("3.125"))


def erfinv_tail(v):
    return of_erfinv((v + mp.mpf("4.3")) ** 2)


def erfinv_tail_short(v):
    return of_erfinv((v + mp.mpf("3.3")) ** 2)


def one(x):
    return mp.mpf(1)


FITS = [
    # name, function, low, high, degree, weight, what it is
    ("EXP_F32", exp_tail, -HALF, HALF, 4, lambda r: r**2 + mp.mpf("1e-4"),
     "exp(r) = 1 + r + r^2 p(r), |r| <= ln 2 / 2"),
    ("EXP_F64", exp_tail, -HALF, HALF, 9, lambda r: r**2 + mp.mpf("1e-4"),
     "exp(r) = 1 + r + r^2 p(r), |r| <= ln 2 / 2"),
    ("EXP2_F32", exp2_tail, mp.mpf("-0.5"), mp.mpf("0.5"), 5, one, "2^r = 1 + r p(r), |r| <= 1/2"),
    ("EXP2_F64", exp2_tail, mp.mpf("-0.5"), mp.mpf("0.5"), 11, one, "2^r = 1 + r p(r), |r| <= 1/2"),
    ("LOG_F32", log_tail, 1 / mp.sqrt(2) - 1, ROOT, 7, lambda f: f**2 + mp.mpf("1e-3"),
     "log(1 + f) = f - f^2/2 + f^3 p(f), 1 + f in [sqrt(1/2), sqrt(2)]"),
    ("LOG_F64", atanh_tail, mp.mpf(0), mp.mpf("0.02944"), 6, one,
     "log((1 + s)/(1 - s)) = 2 s + s z p(z), z = s^2 <= (3 - 2 sqrt(2))^2"),
    ("SIN_F64", sin_tail, mp.mpf(0), SIN**2, 5, lambda z: z + mp.mpf("1e-6"),
     "sin(r) = r + r z p(z), z = r^2, |r| <= pi/4"),
    ("COS_F64", cos_tail, mp.mpf(0), SIN**2, 5, lambda z: z**2 + mp.mpf("1e-8"),
     "cos(r) = 1 - z/2 + z^2 p(z), z = r^2, |r| <= pi/4"),
    ("SIN_F32", sin_tail, mp.mpf(0), SIN**2, 3, lambda z: z + mp.mpf("1e-6"),
     "the same to float32's precision"),
    ("COS_F32", cos_tail, mp.mpf(0), SIN**2, 3, lambda z: z**2 + mp.mpf("1e-8"),
     "the same to float32's precision"),
    ("ATAN_F64", atan_tail, mp.mpf(0), TAN_PI_8**2, 10, lambda z: z + mp.mpf("1e-6"),
     "atan(r) = r + r z p(z), z = r^2, |r| <= tan(pi/8)"),
    ("ATAN_F32", atan_tail, mp.mpf(0), TAN_PI_8**2, 5, lambda z: z + mp.mpf("1e-6"),
     "the same to float32's precision"),
    ("TANH_F32", tanh_tail, mp.mpf(0), mp.mpf("0.625") ** 2, 5, lambda z: z + mp.mpf("1e-6"),
     "tanh(x) = x + x z p(z), z = x^2, |x| <= 5/8"),
    ("ERF_SMALL_F32", erf_small, mp.mpf(0), mp.mpf("0.9"), 6, one,
     "erf(x) = x + x p(x^2), |x| <= 0.94"),
    ("ERF_LARGE_F32", log_erfc, mp.mpf("0.92"), mp.mpf("3.93"), 8, lambda x: mp.erfc(x),
     "erf(x) = 1 - exp(p(x)), 0.92 <= x <= 3.93"),
    ("ERF_F64", erf_small, mp.mpf(0), mp.mpf(1), 11, one, "erf(x) = x + x p(x^2), |x| <= 1"),
    ("ERFC_F64", of_erfc, mp.mpf(-1), mp.mpf("0.75"), 22, lambda t: 1 / of_erfc(t),
     "erfc(x) = exp(-x^2) p(t) / (1 + 2 x), t = (x - 4) / (x + 4), 0 <= x <= 28"),
    ("ERFINV_MIDDLE", erfinv_middle, mp.mpf("-3.125"), mp.mpf("3.125"), 14, lambda v: 1 / erfinv_middle(v),
     "erfinv(x) = x p(w - 3.125), w = -log(1 - x^2) <= 6.25"),
    ("ERFINV_TAIL", erfinv_tail, mp.mpf("-1.8"), mp.mpf("1.8"), 14, lambda v: 1 / erfinv_tail(v),
     "erfinv(x) = x p(sqrt(w) - 4.3), w = -log(1 - x^2) from 6.25 to 37.2"),
    ("ERFC_F32", of_erfc_short, mp.mpf(-1), mp.mpf("7.5") / mp.mpf("13.5"), 10, lambda t: 1 / of_erfc_short(t),
     "erfc(x) = exp(-x^2) p(t) / (1 + 2 x), t = (x - 3) / (x + 3), 0 <= x <= 10.5"),
    ("ERFINV_MIDDLE_F32", erfinv_middle, mp.mpf("-3.125"), mp.mpf("3.125"), 10, lambda v: 1 / erfinv_middle(v),
     "erfinv(x) = x p(w - 3.125), w = -log(1 - x^2) <= 6.25"),
    ("ERFINV_TAIL_F32", erfinv_tail_short, mp.mpf("-0.8"), mp.mpf("0.8"), 8, lambda v: 1 / erfinv_tail_short(v),
     "erfinv(x) = x p(sqrt(w) - 3.3), w = -log(1 - x^2) from 6.25 to 16.8"),
]


def main():
    lines = [
        '"""Minimax polynomials of the vector math, constant term first.',
        "",
        "Written by tools/minimax.py; each comment gives the formula and the largest (weighted) error.",
        '"""',
        "",
    ]
    for name, function, low, high, degree, weight, what in FITS:
        coefficients, error = remez(function, low, high, degree, weight)
        print(name, mp.nstr(error, 4), flush=True)
        lines.append(f"# {what}; {mp.nstr(error, 3)}")
        lines.append(f"{name} = (")
        lines += [f"    {mp.nstr(c, 17, strip_zeros=False)}," for c in coefficients]
        lines.append(")")
    # The table of erf is no minimax polynomial; it stays as it is.
    here = Path(__file__).resolve().parent.parent
    target = here / "src" / "rushlight" / "compiler" / "codegen" / "coefficients.py"
    table = target.read_text()
    target.write_text("\n".join(lines) + "\n" + table[table.index("# erf over intervals"):])


if __name__ == "__main__":
    main()
