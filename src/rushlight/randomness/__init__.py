"""PyTorch's CPU random streams, described in `docs/random_streams.md`.

`engine` writes the mt19937 generator as LLVM IR; `transforms` and `rejection` write what turns its
words into numbers; `kernels` compiles and loads them. `fills` and `samplers` are the array-level
functions, `checks` what the ops refuse. `rushlight.random` has the generators.
"""
