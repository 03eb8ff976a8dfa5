"""The text of nested tensors."""

from rushlight import devices


def text(t):
    """Components one below the other, or the geometry of a jagged tensor."""
    parts = t._a
    if parts.layout is devices.jagged:
        node = t.grad_fn
        history = f", grad_fn={node!r}" if node is not None else ", requires_grad=True" if t.requires_grad else ""
        shape = ", ".join(repr(s) for s in parts.shape)
        contiguous = parts.ragged == 1 and parts.lengths is None
        return f"NestedTensor(size=({shape}), offsets={parts.offsets!r}{history}, contiguous={contiguous})"
    from .arrays import components
    shown = []
    for x in components(t.detach()):
        if t.requires_grad:
            x = x.detach().requires_grad_()
        shown.append("\n".join("  " + line for line in repr(x).split("\n")))
    node = t.grad_fn
    leaf = ", requires_grad=True" if t.requires_grad else ""
    end = f", grad_fn=<{type(node).__name__}>" if node is not None else leaf
    return "nested_tensor([\n" + (",\n".join(shown) or "  ") + "\n]" + end + ")"


__all__ = ["text"]
