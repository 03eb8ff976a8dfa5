"""How precise float32 matrix products are.

    set_float32_matmul_precision(precision)    "highest", "high" or "medium"
    get_float32_matmul_precision() -> str
    attach(choose)                             ``choose(precision)`` is called now and after each change
"""

_precision = "highest"
_choices = []


def get_float32_matmul_precision() -> str:
    """The precision that ``set_float32_matmul_precision`` has set; "highest" at first."""
    return _precision


def set_float32_matmul_precision(precision: str) -> None:
    """Allow float32 matrix products to be less precise where that is faster.

    ``"highest"``: errors as those of sums in float32, or smaller. ``"high"``: operands count with at least
    16 bits of their 24 (two bfloat16 numbers each). ``"medium"``: operands are rounded to bfloat16 (8 bits).
    Sums are in float32 always. On CPUs without AMX every precision is the highest.

    Warns about another string and changes nothing; raises RuntimeError for anything but a string.
    """
    global _precision
    if not isinstance(precision, str):
        raise RuntimeError(f"set_float32_matmul_precision expects a str, but got {type(precision).__name__}")
    if precision not in ("highest", "high", "medium"):
        import warnings

        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the current "
            "set_float32_matmul_precision call has no effect.", stacklevel=2)
        return
    _precision = precision
    for choose in _choices:
        choose(precision)


def attach(choose) -> None:
    """Tell ``choose`` the precision now and whenever it changes."""
    _choices.append(choose)
    choose(_precision)
