"""The operator table: one module a family; see ``dispatch`` for the path of a call."""

FAMILIES = [
    "views", "axes", "slicing", "complexviews", "construct", "creation", "sequences", "conversion",
    "indexing", "joining",
    "pointwise.arithmetic", "pointwise.elementary", "pointwise.selection", "comparison", "reduction", "extrema",
    "matmul", "random",
    "nn.convolution", "nn.pooling", "nn.normalization", "nn.dropout", "nn.embedding", "nn.losses",
    "nn.recurrent", "nn.attention",
]
