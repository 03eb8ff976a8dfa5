"""Tensors: storage, geometry, the Tensor class, printing."""
