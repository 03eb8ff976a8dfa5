"""Making the ONNX graph: nodes, initializers, sizes that are known when the model runs."""

import numpy as np

from rushlight import dtypes

from .errors import OnnxExporterError, SymbolicValueError, UnsupportedOperatorError
from .unify import Size

ELEMENT = {"float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "bool": 9,
           "float16": 10, "float64": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15,
           "bfloat16": 16, "float8_e4m3fn": 17, "float8_e5m2": 19}


def element_type(d):
    """The number of a dtype in ONNX."""
    try:
        return ELEMENT[d.name]
    except KeyError:
        raise OnnxExporterError(f"ONNX has no tensors of {d}") from None


class Operand:
    """A tensor of the graph: its name there, dtype, dimensions (ints and `Size`s); data where it is a constant."""

    __slots__ = ("name", "dtype", "shape", "data")

    def __init__(self, name, dtype=None, shape=None, data=None):
        self.name, self.dtype, self.shape, self.data = name, dtype, shape, data

    @property
    def rank(self):
        """How many dimensions it has."""
        return len(self.shape)


class Builder:
    """One graph. ``op`` adds nodes; mappings of ops (``mappings``) are written with it."""

    def __init__(self, opset, fold):
        self.opset, self.fold = opset, fold
        self.nodes, self.initializers, self.taken = [], {}, set()
        self.sizes = {}                 # what a size was in each trace -> (name of a tensor, which of its dimensions)
        self.scalars, self.constants, self.domains = {}, {}, {}
        self.key, self.scope, self.counts = "", "", {}
        self.given = []                 # operands of the op that is being mapped
        self.symbols = []               # (label, what it was in each trace)

    # ------------------------------------------------------------ names

    def unique(self, name):
        """`name`, or with a number if it is taken."""
        n, found = 0, name
        while found in self.taken:
            n += 1
            found = f"{name}_{n}"
        self.taken.add(found)
        return found

    def fresh(self, kind):
        """A name for a result of a node."""
        k = self.counts[kind] = self.counts.get(kind, 0) + 1
        prefix = "/" + self.scope.replace(".", "/") + "/" if self.scope else "/"
        return self.unique(f"{prefix}{kind}_{k - 1}" if k > 1 else f"{prefix}{kind}")

    # ------------------------------------------------------------ nodes

    def op(self, kind, *inputs, outputs=1, **attributes):
        """Add a node; the name of its result, or a list of names where there are several.

        inputs: operands, names, arrays (constants) or None (left out at this place); attributes that are None aren't
        set.
        """
        return self.node(kind, inputs, outputs, "", attributes)

    def node(self, kind, inputs, outputs, domain, attributes):
        """`op` in any domain, with any names of attributes."""
        given = ["" if x is None else self.name(x) for x in inputs]
        while given and not given[-1]:
            given.pop()
        for k, x in attributes.items():
            self.known(x, f"{kind}'s {k}")
        names = [self.fresh(kind) for _ in range(outputs)]
        self.nodes.append((kind, given, names, domain, {k: x for k, x in attributes.items() if x is not None}))
        return names[0] if len(names) == 1 else names

    def name(self, x):
        """The name of an operand; arrays become initializers."""
        if isinstance(x, Operand):
            return x.name
        return x if isinstance(x, str) else self.const(x)

    def const(self, value, d=None, name=None):
        """The name of a constant."""
        a = np.asarray(value, None if d is None else d.np)
        if name is None:
            key = a.dtype, a.shape, a.tobytes() if a.nbytes <= 256 else id(a)
            if key in self.constants:
                return self.constants[key][0]
            found = self.constants[key] = self.unique("constant"), a
            name = found[0]
        self.initializers[name] = a
        return name

    def known(self, x, what):
        """`x`, which may hold no size that is known only when the model runs."""
        for y in x if isinstance(x, (list, tuple)) else (x,):
            if isinstance(y, Size):
                raise SymbolicValueError(f"{self.key}: {what} depends on the sizes of the inputs, and ONNX wants it to "
                                         "be a constant: make that dimension static")
        return x

    def known_shape(self, x, what="shape"):
        """The dimensions of an operand, all of which have to be constants."""
        return self.known(x.shape, f"the {what} of an operand")

    def need(self, version, what):
        """UnsupportedOperatorError where the opset is too old."""
        if self.opset < version:
            raise UnsupportedOperatorError(f"{self.key}: {what} is there from opset {version} on; export with "
                                           f"opset_version={version} or more")

    # ------------------------------------------------------------ sizes

    def remember(self, name, shape):
        """The dimensions of a tensor are known by its name."""
        for axis, n in enumerate(shape):
            if isinstance(n, Size) and n.seen not in self.sizes:
                self.sizes[n.seen] = name, axis

    def size(self, n):
        """The name of an int64 tensor of one element for a size (or a number)."""
        if not isinstance(n, Size):
            return self.const(np.array([n], np.int64))
        if n.seen in self.scalars:
            return self.scalars[n.seen]
        seen = n.seen
        near = [x.seen for o in self.given for x in o.shape if isinstance(x, Size)]
        found = self.scalars[seen] = (
            self._dimension(seen) or self._linear(seen) or self._difference(seen, near) or self._product(seen)
            or self._quotient(seen) or self._difference(seen, list(self.sizes)))
        if found is None:
            raise SymbolicValueError(f"{self.key}: a number that was {' / '.join(map(str, n.seen))} for different "
                                     "sizes of the inputs is no expression of them that could be found; make these "
                                     "dimensions static")
        return found

    def _dimension(self, seen):
        if seen not in self.sizes:
            return None
        name, axis = self.sizes[seen]
        shape = self.scalars.get(name) or self.op("Shape", name)
        self.scalars[name] = shape
        return self.op("Gather", shape, np.array([axis], np.int64), axis=0)

    def _linear(self, seen):
        """``a · size + b`` of a known size."""
        best = None
        for base in self.sizes:
            steps = {(y - seen[0], x - base[0]) for y, x in zip(seen[1:], base[1:])}
            dx = next((x for _, x in steps if x), 0)
            if dx == 0:
                continue
            dy = next(y for y, x in steps if x == dx)
            a = dy // dx
            b = seen[0] - a * base[0]
            if a and all(a * x + b == y for x, y in zip(base, seen)):
                cost = (a != 1) + (b != 0)
                if best is None or cost < best[0]:
                    best = cost, base, a, b
        if best is None:
            return None
        _, base, a, b = best
        out = self.size(Size(base))
        out = out if a == 1 else self.op("Mul", out, np.array([a], np.int64))
        return self.op("Add", out, np.array([b], np.int64)) if b else out

    def _quotient(self, seen):
        """A known size divided by a small number, rounded down or up."""
        for q in (2, 3, 4, 8, 16, 32):
            for b in (0, q - 1):
                for base in self.sizes:
                    if all((x + b) // q == y for x, y in zip(base, seen)):
                        out = self.size(Size(base))
                        out = self.op("Add", out, np.array([b], np.int64)) if b else out
                        return self.op("Div", out, np.array([q], np.int64))
        return None

    def _product(self, seen):
        """A known size times another known one and a number."""
        bases = list(self.sizes)
        for i, x in enumerate(bases):
            for y in bases[i:]:
                products = [p * q for p, q in zip(x, y)]
                if all(products) and seen[0] % products[0] == 0:
                    c = seen[0] // products[0]
                    if c and all(p * c == s for p, s in zip(products, seen)):
                        out = self.op("Mul", self.size(Size(x)), self.size(Size(y)))
                        return self.op("Mul", out, np.array([c], np.int64)) if c != 1 else out
        for x in bases:                     # what the product of two is a multiple of
            if all(x) and all(s % p == 0 for s, p in zip(seen, x)):
                rest = tuple(s // p for s, p in zip(seen, x))
                if rest in self.sizes or len(set(rest)) == 1:
                    continue
                other = self._linear(rest) or self._product(rest) if len(seen) > 1 and rest != seen and max(
                    rest) < max(seen) else None
                if other is not None:
                    return self.op("Mul", self.size(Size(x)), other)
        return None

    def _difference(self, seen, lesser):
        """A known size minus one of the sizes `lesser`, or half of that, rounded down or up, as paddings have it."""
        for x in list(self.sizes)[::-1]:
            for y in lesser:
                gap = [p - q for p, q in zip(x, y)]
                kind = next((k for k, f in enumerate((lambda d: d, lambda d: d // 2, lambda d: d - d // 2))
                             if [f(d) for d in gap] == list(seen)), None)
                if kind is not None and y in self.sizes:
                    out = self.op("Sub", self.size(Size(x)), self.size(Size(y)))
                    half = self.op("Div", out, np.array([2], np.int64)) if kind else out
                    return self.op("Sub", out, half) if kind == 2 else half
        return None

    def ints(self, numbers):
        """The name of a 1-d int64 tensor of numbers and sizes."""
        if not any(isinstance(n, Size) for n in numbers):
            return self.const(np.array(list(numbers), np.int64))
        parts, run = [], []
        for n in numbers:
            if isinstance(n, Size):
                if run:
                    parts.append(self.const(np.array(run, np.int64)))
                    run = []
                parts.append(self.size(n))
            else:
                run.append(n)
        if run:
            parts.append(self.const(np.array(run, np.int64)))
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=0)

    def dims(self, x):
        """The name of the shape of an operand."""
        return self.ints(x.shape)

    # ------------------------------------------------------------ what many mappings do

    def scalar(self, value, d):
        """The name of a 0-d constant (or size) of a dtype."""
        if isinstance(value, Size):
            return self._number(value, d)
        if isinstance(value, complex):
            raise UnsupportedOperatorError(f"{self.key}: complex numbers have no ONNX operators")
        return self.const(np.array(value).astype(d.np))

    def _number(self, n, d):
        """The name of a 0-d tensor for a size, its root or the inverse of either."""
        for inverse in (False, True):
            for root in (False, True):
                seen = [1 / x if inverse and x else x for x in n.seen]
                seen = [x * x for x in seen] if root else seen
                if all(abs(x - round(x)) < 1e-6 * max(abs(x), 1) for x in seen):
                    name = self.cast(self.op("Squeeze", self.size(Size([round(x) for x in seen]))), d)
                    name = self.op("Sqrt", name) if root else name
                    return self.op("Reciprocal", name) if inverse else name
        raise SymbolicValueError(f"{self.key}: a number that was {' / '.join(map(str, n.seen))} for different sizes of "
                                 "the inputs is no expression of them that could be found; make these dimensions "
                                 "static")

    def cast(self, x, d):
        """The name of `x` in another dtype."""
        return self.op("Cast", x, to=element_type(d))

    def as_type(self, x, d):
        """The name of an operand in a dtype; a cast where it has another."""
        return x.name if x.dtype is d else self.cast(x, d)

    def reshape(self, x, shape):
        """The name of `x` (an operand) in a shape: with 0 and -1 where sizes allow, else with computed sizes."""
        out, free = [], False
        for i, n in enumerate(shape):
            if not isinstance(n, Size):
                if n == 0:              # (ONNX's 0 means another thing)
                    return self.op("Reshape", x, self.ints(shape), allowzero=1 if self.opset >= 14 else None)
                out.append(n)
            elif i < x.rank and x.shape[i] == n:
                out.append(0)
            elif not free:
                free = True
                out.append(-1)
            else:
                return self.op("Reshape", x, self.ints(shape))
        return self.op("Reshape", x, np.array(out, np.int64))

    def squeeze(self, x, axes):
        """The name of `x` without dimensions."""
        if self.opset >= 13:
            return self.op("Squeeze", x, np.array(axes, np.int64))
        return self.op("Squeeze", x, axes=list(axes))

    def unsqueeze(self, x, axes):
        """The name of `x` with further dimensions."""
        if self.opset >= 13:
            return self.op("Unsqueeze", x, np.array(axes, np.int64))
        return self.op("Unsqueeze", x, axes=list(axes))

    def reduce(self, kind, x, axes, keepdim):
        """The name of a reduction over dimensions (none: all of them)."""
        keep = int(bool(keepdim))
        if not axes:
            return self.op(kind, x, keepdims=keep)
        if self.opset >= (13 if kind == "ReduceSum" else 18):
            return self.op(kind, x, np.array(axes, np.int64), keepdims=keep)
        return self.op(kind, x, axes=list(axes), keepdims=keep)

    def slice(self, x, starts, ends, axes, steps=None):
        """The name of a part of `x`."""
        return self.op("Slice", x, self.ints(starts), self.ints(ends), np.array(axes, np.int64),
                       None if steps is None else self.ints(steps))

    def split(self, x, sizes, axis):
        """The names of the parts of `x` along an axis."""
        self.known(sizes, "the sizes of the parts")
        if len(sizes) == 1:
            return [self.op("Identity", x)]
        if self.opset >= 13:
            return self.op("Split", x, np.array(sizes, np.int64), outputs=len(sizes), axis=axis)
        return self.op("Split", x, outputs=len(sizes), axis=axis, split=list(sizes))

    def softmax(self, kind, x, axis, rank):
        """The name of a (log-)softmax along one axis."""
        if self.opset >= 13 or axis == rank - 1:
            return self.op(kind, x, axis=axis)
        perm = list(range(rank))
        perm[axis], perm[-1] = perm[-1], perm[axis]     # it flattened what comes after the axis before
        return self.op("Transpose", self.op(kind, self.op("Transpose", x, perm=perm), axis=rank - 1), perm=perm)

    def full(self, value, shape, d):
        """The name of a tensor of a shape that holds one number."""
        if not any(isinstance(n, Size) for n in shape):
            return self.const(np.full(shape, value, d.np))
        fill = np.array([value]).astype(d.np)
        if d in (dtypes.bfloat16,):
            return self.op("Expand", self.const(fill), self.ints(shape))
        return self.op("ConstantOfShape", self.ints(shape), value=fill)

    def arange(self, n):
        """The name of 0, 1, ... n - 1, where n is a size or a number."""
        if not isinstance(n, Size):
            return self.const(np.arange(n, dtype=np.int64))
        zero, one = np.array(0, np.int64), np.array(1, np.int64)
        return self.op("Range", self.const(zero), self.op("Squeeze", self.size(n)), self.const(one))
