"""Where a capture listens: while ``listener`` is set, ops tell it what they do, each in one of these ways.

    made(t)                             a tensor on fresh memory exists (every `wrap`)
    ran(label, kernel, args, outs, direct=None)
                                        ``kernel`` over the arrays of `args` gave the fresh memory of `outs`
                                        (a tensor or a tuple of them); `direct` as in records
    pointwise(rec, launch, operands, scalars, out, fresh)
    wrote(label, write, targets, args)  ``write(*arrays of targets, *arrays of args)`` changed the targets
    constant(t)                         a tensor whose contents depend on no other tensor (zeros, arange ...)
    drawn(label, draw, t)               ``draw()`` gives a new array of random numbers as t's are
    thunk(label, call, reads, changes)  ``call()`` does, each time, what was just done to tensors `changes`
    assigned(leaf)                      ``leaf.grad`` was set
    accumulated(leaf, old)              a gradient was added to ``leaf.grad``, which was `old`
    read(t, what)                       Python saw numbers of t
    number(t, value) -> number          Python asks for t's only value
    truth(test, tensors) -> bool        (if the listener has it) Python decides by ``test(*arrays)``
    aside(label, call, *numbers)        ``call(*numbers)`` is to be run each time as it is, now too
    settle()                            (if the listener captures) an optimizer is about to look at its groups' numbers
    current(label, values) -> list      Python asks for numbers that `aside` calls change: ``values()``
    keeps(storage) -> bool              whether the listener itself refers to a storage
    unattended(backward, targets, gradients)
                                        (if the listener has it) gives a function that runs ``backward``, a pass over
                                        nodes and leaves
    compute(rec, kernel, args, arrays)  (if the listener has it) gives what ``kernel(*arrays)`` would: arrays
    fail(why)                           something happened that can't be told in these ways

``autograd.modes.state.special`` is raised meanwhile, so that generated functions leave every call to Python.
"""

listener = None
observer = None     # who writes a call down as launches (``ops.native.observing``)


def launch(kernel, *operands):
    """``kernel(*operands)``, for calls that do nothing else with their arrays but make and show them: what a kernel is
    given then depends on dtypes, sizes and numbers, never on contents."""
    return kernel(*operands) if observer is None else observer.launched(kernel, operands)


def fixed(array):
    """The array, which never changes from now on: kernels of plans may be given it as it is."""
    array.flags.writeable = False
    return array


def true(test, *tensors):
    """``bool(test(*arrays))``: what the course of a call depends on besides sizes and dtypes."""
    if observer is not None:
        return observer.true(test, tensors)
    truth = getattr(listener, "truth", None)
    return bool(test(*[t._a for t in tensors])) if truth is None else truth(test, tensors)


def set_listener(new):
    """Make `new` (None: nobody) the listener; returns the old one."""
    global listener
    old, listener = listener, new
    return old


class Listener:
    """One that hears of nothing and changes nothing; others say in its place what they want to hear."""

    def number(self, t, value):
        return value

    def aside(self, label, call, *numbers):
        outer = set_listener(None)
        try:
            return call(*numbers)
        finally:
            set_listener(outer)

    def current(self, label, values):
        return values()

    def keeps(self, storage):
        return False

    def _unheard(self, *args, **kwargs):
        """What the listener has no use for."""

    made = ran = pointwise = wrote = constant = drawn = thunk = assigned = accumulated = read = fail = settle = _unheard


def computed(rec, kernel, args, arrays):
    """What ``kernel(*arrays)`` gives, or the listener in its place."""
    compute = getattr(listener, "compute", None)
    return kernel(*arrays) if compute is None else compute(rec, kernel, args, arrays)


def unattended(backward, targets, gradients):
    """The function that runs a backward pass, or the listener's in its place."""
    run = getattr(listener, "unattended", None)
    return backward if run is None else run(backward, targets, gradients)
