"""A formula of matrices over a block of rows, vector by vector: what products compute before (``gemm_prologue``) and
after them (``gemm_finish``)."""

from rushlight.compiler.codegen.builder import vector
from rushlight.compiler.codegen.lower import ITEMSIZE, MEMORY, Lowering, Types, from_memory, to_memory
from rushlight.runtime import cpu


class Operand:
    """A matrix from an element on; ``repeats`` (an i1) says that each row has one number, read again and again.

    Without ``repeats`` columns are adjacent.
    """

    def __init__(self, dtype, at, by_row, repeats=None):
        self.dtype, self.at, self.by_row, self.repeats = dtype, at, by_row, repeats


class Formula:
    """An expression of operands, its result as ``out_dtype``, computed in the type of ``compute``."""

    def __init__(self, output, out_dtype, compute):
        self.output, self.out_dtype, self.types = output, out_dtype, Types(compute)
        self.lanes = cpu.vector_bytes() // self.types.itemsize

    def write(self, f, operands, rows, columns, out, out_row, before=None):
        """Store the formula at ``out``; ``before(i, j)`` writes what comes before each whole vector."""
        lanes = self.lanes
        buffers = [o.repeats and f.buffer(lanes * ITEMSIZE[o.dtype]) for o in operands]
        whole = columns & -lanes
        with f.range(rows) as i:
            places = [self._row(f, o, i, buffer) for o, buffer in zip(operands, buffers, strict=True)]
            to = out + i * out_row
            with f.range(0, whole, step=lanes) as j:
                if before is not None:
                    before(i, j)
                self._vector(f, operands, places, j, to)
            with f.if_(whole < columns):
                self._vector(f, operands, places, whole, to, f.below(columns - whole, lanes))

    def _row(self, f, o, i, buffer):
        """(where row i of an operand is, bytes from column to column); repeated numbers are read as vectors of them."""
        here, size = o.at + i * o.by_row, f.value(ITEMSIZE[o.dtype])
        if buffer is None:
            return here, size
        with f.if_(o.repeats):
            f.store(f.splat(f.load(MEMORY[o.dtype], here, 1), self.lanes), buffer, 1)
        return f.select(o.repeats, buffer, here), f.select(o.repeats, f.value(0), size)

    def _vector(self, f, operands, places, j, to, mask=None):
        loaded = {}

        def leaf(e):
            if e not in loaded:
                dtype, (base, step) = operands[e.attr].dtype, places[e.attr]
                type_, at = vector(MEMORY[dtype], self.lanes), base + j * step
                value = f.load(type_, at, 1) if mask is None else f.masked_load(type_, at, mask)
                loaded[e] = from_memory(f, value, dtype, e.kind, self.types)
            return loaded[e]

        value, = Lowering(f, self.lanes, self.types, leaf).emit([self.output])
        value = to_memory(f, value, self.output.kind, self.out_dtype, self.types)
        place = to + j * ITEMSIZE[self.out_dtype]
        if mask is None:
            f.store(value, place, 1)
        else:
            f.masked_store(value, place, mask)
