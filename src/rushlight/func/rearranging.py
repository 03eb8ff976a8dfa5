"""``rearrange``: dimensions split, joined and reordered by a pattern of names.

After A. Rogozhnikov, "Einops: clear and reliable tensor manipulations with Einstein-like notation", ICLR 2022.
"""

from ..ops.registry import function
from ..tensor.tensor import Tensor


def _parsed(side, pattern):
    """A list of groups (lists of names) of one side of a pattern; '...' is a name, '1' an empty group."""
    groups, inside = [], None
    for token in side.replace("(", " ( ").replace(")", " ) ").replace("...", " ... ").split():
        if token == "(":
            if inside is not None:
                raise ValueError(f"Nested brackets are not allowed in pattern: {pattern}")
            inside = []
        elif token == ")":
            if inside is None:
                raise ValueError(f"Unbalanced brackets in pattern: {pattern}")
            groups.append(inside)
            inside = None
        elif token == "1":
            if inside is None:
                groups.append([])
        elif token == "..." or token.isidentifier():
            if token != "..." and (token[0] == "_" or token[-1] == "_"):
                raise ValueError(f"Invalid axis identifier: {token} (it should neither begin nor end with an "
                                 "underscore)")
            if inside is None:
                groups.append(token if token == "..." else [token])
            else:
                inside.append(token)
        else:
            raise ValueError(f"Invalid axis identifier: {token}")
    if inside is not None:
        raise ValueError(f"Unbalanced brackets in pattern: {pattern}")
    names = [n for g in groups for n in ([g] if g == "..." else g)]
    if len(set(names)) != len(names):
        raise ValueError(f"Pattern has a duplicate axis: {pattern}")
    return groups, names


def rearrange(tensor, pattern, **axes_lengths):
    """`tensor` (or the stack of a sequence of tensors) with its dimensions split, joined and reordered.

    pattern: ``'b (h w) c -> b c h w'``: names on the left split the input (sizes of all but one name of a group are
    given as keywords), the right says the output; ``...`` stands for any dimensions, ``1`` for one of size 1.
    ValueError where names or sizes do not fit.
    """
    if not isinstance(tensor, Tensor):
        tensor = function("stack")(list(tensor))
    left, arrow, right = pattern.partition("->")
    if not arrow or "->" in right:
        raise ValueError(f"The pattern must have exactly one '->', got: {pattern}")
    (ins, have), (outs, want) = _parsed(left, pattern), _parsed(right, pattern)
    if set(have) != set(want):
        raise ValueError(f"Identifiers should be on both sides of the pattern: {sorted(set(have) ^ set(want))}")
    unknown = set(axes_lengths) - set(have)
    if unknown:
        raise ValueError(f"Identifiers are not in the pattern: {sorted(unknown)}")
    rest = tensor.dim() - sum(g != "..." for g in ins)
    if rest < 0 or rest and "..." not in have:
        raise ValueError(f"The pattern {pattern} does not fit a tensor of {tensor.dim()} dimensions")
    sizes, shape, at = {}, [], 0
    for g in ins:
        if g == "...":
            sizes["..."] = tensor.shape[at:at + rest]
            shape.extend(sizes["..."])
            at += rest
            continue
        shape.extend(_split(g, tensor.shape[at], axes_lengths, sizes, pattern))
        at += 1
    order, places = {}, 0
    for n in have:
        k = rest if n == "..." else 1
        order[n] = list(range(places, places + k))
        places += k
    final = []
    for g in outs:
        if g == "...":
            final.extend(sizes["..."])
        else:
            n = 1
            for name in g:
                for s in sizes[name] if name == "..." else (sizes[name],):
                    n *= s
            final.append(n)
    return tensor.reshape(shape).permute([d for n in want for d in order[n]]).reshape(final)


def _split(group, size, given, sizes, pattern):
    known, open_name = 1, None
    for n in group:
        if n == "...":
            raise ValueError(f"An ellipsis inside brackets on the left is not allowed: {pattern}")
        if n in given:
            sizes[n] = given[n]
            known *= given[n]
        elif open_name is None:
            open_name = n
        else:
            raise ValueError(f"Could not infer the sizes of {open_name} and {n} in {pattern}")
    if open_name is not None:
        if known == 0 or size % known:
            raise ValueError(f"A dimension of size {size} can't be divided into parts of {known} in {pattern}")
        sizes[open_name] = size // known
    elif known != size:
        raise ValueError(f"A dimension of size {size} does not have the {known} elements of {pattern}")
    return [sizes[n] for n in group]
