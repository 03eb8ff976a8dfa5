"""Quantized tensors: integer codes that stand for ``(code - zero_point) * scale``.

Such a tensor is a `Tensor` like others, kept as parts: the codes, and one scale and zero point for all of them or one
for each slice along a dimension. See ``arrays.py``.
"""
