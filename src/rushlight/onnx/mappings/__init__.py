"""What ops are in ONNX, by families. A mapping stands in its record's field ``onnx``."""

from importlib import import_module

from rushlight.record import RECORDS

FAMILIES = ("elementwise", "shaping", "indexing", "reducing", "products", "layers", "images", "recurrent",
            "drawing")
OWN = {}                    # mappings of the tracer's own ops
_loaded = False


def maps(*keys, raw=False):
    """Decorator: ``fn(builder, *arguments)`` makes the nodes for the records of these keys.

    Tensors among the arguments come as `builder.Operand`, numbers that depend on sizes as `unify.Size`; the function
    returns the name of the result, or a tuple of names (None for results that it does not make). Operands of pointwise
    ops come in the type that the op computes in, numbers as constants of that type, but with `raw`.
    """
    def register(fn):
        fn.raw = raw
        for key in keys:
            if key.startswith("#"):
                OWN[key] = fn
            else:
                RECORDS[key].onnx = fn
        return fn
    return register


def load():
    """Register all mappings (once)."""
    global _loaded
    if not _loaded:
        from rushlight.ops import registry
        registry.load()
        for family in FAMILIES:
            import_module("." + family, __name__)
        _loaded = True


def mapping(key):
    """The mapping of a key, or None."""
    load()
    if key.startswith("#"):
        return OWN.get(key)
    record = RECORDS.get(key)
    if record is not None and record.onnx is None and record.kind == "pointwise":
        from .formulas import of_record
        record.onnx = of_record(record)
    return None if record is None else record.onnx
