"""Changes of a tape's steps that keep what they compute. Each takes and returns a list of steps.

    direct      kernels that can write into memory that is there do so
    fuse        pointwise kernels that share operands become one: fewer passes over memory
"""
