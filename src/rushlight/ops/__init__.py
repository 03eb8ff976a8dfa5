"""The operator table: one module a family; see ``dispatch`` for the path of a call."""

FAMILIES = [
    "views", "axes", "slicing", "complexviews", "construct", "creation", "sequences", "conversion",
    "indexing", "gather", "scatter", "masks", "replacing", "joining", "padding", "copies", "layouts", "quantization",
    "pointwise.arithmetic", "pointwise.elementary", "pointwise.selection", "pointwise.numeric",
    "pointwise.activations", "pointwise.special", "comparison", "reduction", "extrema", "statistics", "scan",
    "sorting", "softmax", "norms",
    "hashing", "matmul", "contraction", "fft", "stft", "linalg.solving", "linalg.factoring", "linalg.spectral",
    "linalg.norms", "linalg.lowrank", "linalg.lobpcg", "segments", "elementcalls",
    "inspection",
    "random", "sampler_gradients",
    "nn.convolution", "nn.pooling", "nn.irregular_pooling", "nn.normalization", "nn.dropout", "nn.embedding",
    "nn.losses", "nn.likelihood", "nn.linear_cross_entropy",
    "nn.recurrent", "nn.attention", "nn.rearrange", "nn.resampling", "nn.distance", "nn.pairs", "nn.ctc",
    "nn.scaled_products",
]


def __getattr__(name):
    """``torch.ops.namespace``: the operators of a namespace, for names that are no module here."""
    from pathlib import Path
    here = Path(__file__).parent / name
    if name.startswith("__") or here.is_dir() or here.with_suffix(".py").is_file():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ..library.operators import namespace
    return namespace(name)
