"""Write an operation with a gradient of its own, check it, and fit a line with it.

The operation is the smooth absolute value sqrt(x^2 + eps^2) - eps (P. Charbonnier and others, "Two deterministic
half-quadratic regularization algorithms for computed imaging", ICIP 1994): as a loss it forgives outliers.

    python examples/custom_function.py --eps 0.1
"""

import argparse

import rushlight as torch


class SmoothAbs(torch.autograd.Function):
    """sqrt(x^2 + eps^2) - eps; its derivative is x / sqrt(x^2 + eps^2)."""

    @staticmethod
    def forward(ctx, x, eps):
        ctx.save_for_backward(x)
        ctx.eps = eps
        return torch.sqrt(x * x + eps * eps) - eps

    @staticmethod
    def backward(ctx, grad):
        # Written with operations on the saved input, so that it can be differentiated again.
        x, = ctx.saved_tensors
        return grad * x / torch.sqrt(x * x + ctx.eps * ctx.eps), None


def check():
    """Compare both derivatives with differences in float64."""
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: SmoothAbs.apply(x, 0.5), (x,))
    assert torch.autograd.gradgradcheck(lambda x: SmoothAbs.apply(x, 0.5), (x,))
    print("first and second derivative agree with differences")


def fit(x, y, loss, steps):
    """Slope and intercept that make the mean of loss(error) small."""
    line = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([line], lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(line[0] * x + line[1] - y).mean().backward()
        optimizer.step()
    return line.tolist()


def main():
    """Check the gradient, then fit a line to points with outliers by squares and by the operation."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--eps", type=float, default=0.1, help="where the loss turns linear (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    check()
    x = torch.linspace(-1, 1, 200)
    y = 2 * x + 1 + 0.05 * torch.randn(200)
    y[::10] += 5                                    # every tenth point is far off
    for name, loss in (("squares", torch.square), ("smooth abs", lambda e: SmoothAbs.apply(e, options.eps))):
        slope, intercept = fit(x, y, loss, options.steps)
        print(f"{name:10}  y = {slope:.3f} x + {intercept:.3f}    (truth: 2 x + 1)")


if __name__ == "__main__":
    main()
