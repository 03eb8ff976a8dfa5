"""Whole functions and training steps as programs: what `rushlight.compile` is made of.

tape.py writes down the kernels that a call runs; program.py makes a function of a tape; effects.py tells whether Python
would do the same again; compiled.py puts them together.
"""
