"""The operator table: one module a family; see ``dispatch`` for the path of a call."""

FAMILIES = ["views", "construct", "pointwise.arithmetic", "reduction", "matmul", "conversion", "indexing"]
