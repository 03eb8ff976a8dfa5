"""The generated twin of dispatch: CPython functions that take and return Tensors.

Each serves the common case of an op (plain float32 tensors, C order, nothing special active) and calls the
readable Python function, its ``fallback``, for everything else. ``install`` puts one in the place of a public
function once the op has run and its kernel exists.
"""
