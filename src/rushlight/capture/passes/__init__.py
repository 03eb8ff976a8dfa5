"""Changes of a tape's steps that keep what they compute. Each takes and returns a list of steps.

    rename      copies of whole results into other memory of the call are names: nothing is copied, and what the later
                passes look for isn't hidden by in-place ops
    simplify    what is the same each time is computed once, what was computed before isn't again, nor what nobody reads
    layout      images that nobody sees lie channels-last where that makes the whole program faster; evaluated
                normalizations go into the weights of channels-last convolutions (`folding`), which write into memory
                that is there (`pixels`)
    norms       batch normalization with relu, residuals and the sums that follow in one kernel: half the memory traffic
    direct      kernels that can write into memory that is there do so
    planned     convolutions write into memory that is there; their weights stay packed in programs without gradients;
                large gradients of weights come in parts, which take less workspace
    sums        what is added to a small product's result is where that begins
    fuse        pointwise kernels that share operands become one: fewer passes over memory
    recompute   activations that are cheap to compute again aren't kept for the backward pass: less memory
    prologues   formulas of weights (bytes with scales, bfloat16) and of rows are computed where a product reads them
    epilogues   products and large convolutions finish what follows them: activations, residuals, normalization
    horizontal  independent small products are one call, whose tiles all threads share

`flow` tells them who writes and reads what.
"""
