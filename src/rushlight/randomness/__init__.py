"""PyTorch's CPU random streams: the engine, the transforms of its words, and the fills built on
them.

`engine` writes the mt19937 generator as LLVM IR, `transforms` what turns its words into numbers,
`kernels` compiles and loads them, and `fills` is the array-level API. `rushlight.random` has the
generators.
"""
