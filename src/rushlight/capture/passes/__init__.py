"""Changes of a tape's steps that keep what they compute. Each takes and returns a list of steps.

    fuse        pointwise kernels that share operands become one: fewer passes over memory
"""
