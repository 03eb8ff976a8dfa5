"""Tuples with named fields, for functions of several results (``torch.return_types``)."""


class StructSequence(tuple):
    """A tuple whose items also have names; printed like ``torch.return_types.max(values=..., ...)``."""

    __slots__ = ()
    _fields = ()

    def __new__(cls, items, *more):
        return tuple.__new__(cls, (items, *more) if more else items)

    def __repr__(self):
        body = ",\n".join(f"{n}={v!r}" for n, v in zip(self._fields, self))
        return f"torch.return_types.{type(self).__name__}(\n{body})"

    def __reduce__(self):
        return type(self), (tuple(self),)

    def _asdict(self):
        return dict(zip(self._fields, self))


def _field(i):
    return property(lambda self: self[i])


def struct(name, *fields):
    """A class of named results."""
    body = {"__slots__": (), "_fields": fields, "__match_args__": fields, "n_fields": len(fields),
            "n_sequence_fields": len(fields), "n_unnamed_fields": 0, "__module__": "torch.return_types"}
    for i, f in enumerate(fields):
        body[f] = _field(i)
    return type(name, (StructSequence,), body)


max = struct("max", "values", "indices")
min = struct("min", "values", "indices")
median = struct("median", "values", "indices")
nanmedian = struct("nanmedian", "values", "indices")
mode = struct("mode", "values", "indices")
sort = struct("sort", "values", "indices")
topk = struct("topk", "values", "indices")
kthvalue = struct("kthvalue", "values", "indices")
cummax = struct("cummax", "values", "indices")
cummin = struct("cummin", "values", "indices")
aminmax = struct("aminmax", "min", "max")
histogram = struct("histogram", "hist", "bin_edges")
histogramdd = struct("histogramdd", "hist", "bin_edges")
frexp = struct("frexp", "mantissa", "exponent")
qr = struct("qr", "Q", "R")
svd = struct("svd", "U", "S", "V")
slogdet = struct("slogdet", "sign", "logabsdet")
lu_unpack = struct("lu_unpack", "P", "L", "U")
geqrf = struct("geqrf", "a", "tau")
triangular_solve = struct("triangular_solve", "solution", "cloned_coefficient")
linalg_eig = struct("linalg_eig", "eigenvalues", "eigenvectors")
linalg_eigh = struct("linalg_eigh", "eigenvalues", "eigenvectors")
linalg_svd = struct("linalg_svd", "U", "S", "Vh")
linalg_qr = struct("linalg_qr", "Q", "R")
linalg_slogdet = struct("linalg_slogdet", "sign", "logabsdet")
linalg_lu = struct("linalg_lu", "P", "L", "U")
linalg_lu_factor = struct("linalg_lu_factor", "LU", "pivots")
linalg_lu_factor_ex = struct("linalg_lu_factor_ex", "LU", "pivots", "info")
linalg_cholesky_ex = struct("linalg_cholesky_ex", "L", "info")
linalg_inv_ex = struct("linalg_inv_ex", "inverse", "info")
linalg_ldl_factor = struct("linalg_ldl_factor", "LD", "pivots")
linalg_ldl_factor_ex = struct("linalg_ldl_factor_ex", "LD", "pivots", "info")
linalg_lstsq = struct("linalg_lstsq", "solution", "residuals", "rank", "singular_values")
linalg_solve_ex = struct("linalg_solve_ex", "result", "info")
