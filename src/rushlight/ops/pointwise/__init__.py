"""Pointwise ops: scalar formulas, from which kernels and derivatives are made."""
