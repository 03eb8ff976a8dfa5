"""Sample operands for records, and numerical gradients."""

import numpy as np

import rushlight as torch


def tensor(a, grad=False):
    """A tensor with the contents of an array (copied)."""
    t = torch.from_numpy(np.array(a))
    return t.requires_grad_() if grad else t


def array(t):
    """The values of a tensor as an ndarray."""
    return t.detach().resolve_conj().numpy()


def generator(seed=0):
    return np.random.default_rng(seed)


def unary(dtype=np.float64, low=-2.0, high=2.0, shape=(3, 4)):
    """Values in a range, away from integers (where many functions have kinks or poles)."""
    x = generator(1).uniform(low, high, shape)
    near = np.abs(x - np.round(x)) < 0.05
    return np.where(near, x + 0.11, x).clip(low, high).astype(dtype)


KINKS = np.array([-np.inf, -3.0, -1.5, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1.5, 2.5, 3.0, np.inf, np.nan])

SAMPLES = {
    "unary": lambda: [(unary(),), (np.float64(0.7),), (np.zeros((0, 3)),),
                      (np.asfortranarray(unary()),)],
    "unary_positive": lambda: [(unary(low=0.1, high=4.0),), (np.float64(1.3),), (np.zeros((2, 0)),)],
    "unary_unit": lambda: [(unary(low=-0.9, high=0.9),), (np.float64(0.4),)],
    "unary_above_one": lambda: [(unary(low=1.1, high=4.0),)],
    "unary_kinks": lambda: [(KINKS,), (unary(),), (np.float64(0.7),)],
    "unary_integer": lambda: [(np.arange(-6, 6),), (np.array([True, False]),)],
    "binary": lambda: [(unary(), unary(low=0.3, high=2.0)), (unary(shape=(3, 1)), unary(shape=(4,))),
                       (np.float64(0.7), unary()), (np.zeros((0, 2)), np.zeros((2,)))],
    "binary_positive": lambda: [(unary(low=0.2), unary()), (unary(low=0.2, shape=(2, 1)), np.float64(1.7))],
    "binary_kinks": lambda: [(KINKS[:, None], KINKS), (unary(), unary(low=0.3))],
    "binary_integer": lambda: [(np.arange(-6, 6), np.arange(12)), (np.array([[True], [False]]),
                                                                 np.array([True, False]))],
}


def numerical_gradient(f, x, weights, eps=1e-6):
    """d sum(weights * f(x)) / dx by central differences, element by element."""
    g = np.zeros_like(x)
    flat, out = x.reshape(-1), g.reshape(-1)
    for i in range(flat.size):
        keep = flat[i]
        flat[i] = keep + eps
        high = (f(x) * weights).sum()
        flat[i] = keep - eps
        low = (f(x) * weights).sum()
        flat[i] = keep
        out[i] = (high - low) / (2 * eps)
    return g
