"""The operator table: one module a family; see ``dispatch`` for the path of a call."""

FAMILIES = [
    "views", "axes", "slicing", "complexviews", "construct", "creation", "sequences", "conversion",
    "indexing", "joining",
    "pointwise.arithmetic", "pointwise.elementary", "pointwise.selection", "pointwise.numeric",
    "pointwise.activations", "comparison", "reduction", "extrema",
    "matmul", "contraction", "random",
    "nn.convolution", "nn.pooling", "nn.normalization", "nn.dropout", "nn.embedding", "nn.losses",
    "nn.recurrent", "nn.attention",
]
