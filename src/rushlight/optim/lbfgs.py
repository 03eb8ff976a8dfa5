"""Limited-memory BFGS."""

import rushlight as torch
from rushlight.optim.flat import vectors_of
from rushlight.optim.optimizer import Optimizer, _check_lr, _closure_loss, _number
from rushlight.tensor import watch

__all__ = ["LBFGS"]


def _cubic_minimum(a, b, bounds=None):
    """Where the cubic through two points (t, value, slope) is least, kept within ``bounds``.

    Source: Nocedal and Wright, Numerical optimization, 2006, equation 3.59.
    """
    (ta, fa, ga), (tb, fb, gb) = a, b
    low, high = bounds if bounds is not None else (min(ta, tb), max(ta, tb))
    d1 = ga + gb - 3 * (fa - fb) / (ta - tb)
    square = d1 * d1 - ga * gb
    if square < 0:
        return (low + high) / 2.0
    d2 = square**0.5
    if ta <= tb:
        t = tb - (tb - ta) * ((gb + d2 - d1) / (gb - ga + 2 * d2))
    else:
        t = ta - (ta - tb) * ((ga + d2 - d1) / (ga - gb + 2 * d2))
    return min(max(t, low), high)


class _Point:
    """The objective at a distance t along the search direction."""

    __slots__ = ("t", "value", "grad", "slope")

    def __init__(self, t, value, grad, slope):
        self.t, self.value, self.grad, self.slope = t, value, grad, slope

    def cubic(self):
        return self.t, self.value, self.slope


def _strong_wolfe(evaluate, start, t, reach, c1=1e-4, c2=0.9, tolerance_change=1e-9, max_steps=25):
    """A step length with sufficient decrease (c1) and a flat enough slope (c2).

    Args:
        evaluate: distance -> _Point.
        start (_Point): the point at distance 0.
        t (float): first distance to try.
        reach (float): largest element of the direction, to judge how much a distance moves.

    Returns:
        The point found and the number of evaluations.

    Source: Nocedal and Wright, Numerical optimization, 2006, algorithms 3.5 and 3.6, with the cubic
    interpolation and the safeguards of Schmidt's minFunc, 2005.
    """

    def too_high(point):
        return point.value > start.value + c1 * point.t * start.slope

    def flat(point):
        return abs(point.slope) <= -c2 * start.slope

    # Bracketing: go further until a good point lies between the last two.
    previous, point = start, evaluate(t)
    evaluations, steps = 1, 0
    while steps < max_steps:
        if too_high(point) or (steps > 1 and point.value >= previous.value):
            low, high = previous, point
            break
        if flat(point):
            return point, evaluations
        if point.slope >= 0:
            low, high = previous, point
            break
        bounds = (point.t + 0.01 * (point.t - previous.t), point.t * 10)
        t = _cubic_minimum(previous.cubic(), point.cubic(), bounds)
        previous, point = point, evaluate(t)
        evaluations += 1
        steps += 1
    else:
        low, high = start, point

    # Zoom: shrink the bracket around the lower end.  Interpolation is in the order of bracketing.
    ends = [low, high]
    best = 0 if low.value <= high.value else 1
    stalled = False
    while steps < max_steps:
        if abs(ends[1].t - ends[0].t) * reach < tolerance_change:
            break
        t = _cubic_minimum(ends[0].cubic(), ends[1].cubic())
        least, most = sorted((ends[0].t, ends[1].t))
        margin = 0.1 * (most - least)
        if min(most - t, t - least) < margin:
            # Too near an end: move inwards if that happens twice in a row.
            if stalled or t >= most or t <= least:
                t = most - margin if abs(t - most) < abs(t - least) else least + margin
                stalled = False
            else:
                stalled = True
        else:
            stalled = False
        point = evaluate(t)
        evaluations += 1
        steps += 1
        if too_high(point) or point.value >= ends[best].value:
            ends[1 - best] = point
            best = 0 if ends[0].value <= ends[1].value else 1
        else:
            done = flat(point)
            if not done and point.slope * (ends[1 - best].t - ends[best].t) >= 0:
                ends[1 - best] = ends[best]
            ends[best] = point
            if done:
                break
    return ends[best], evaluations


class LBFGS(Optimizer):
    r"""Limited-memory BFGS: a quasi-Newton method with the curvature of the last steps.

    The direction is -H g, with H built from the last ``history_size`` changes of parameters and
    gradients by the two-loop recursion.  One ``step`` makes up to ``max_iter`` iterations, so it
    needs a closure.  All parameters form one group.

    Args:
        params: parameters, (name, parameter) pairs or one parameter group.
        lr (float or 1-element Tensor): step length, >= 0 (with a line search its first try).
        max_iter (int): largest number of iterations a step.
        max_eval (int, optional): largest number of closure calls a step; default max_iter * 5 // 4.
        tolerance_grad (float): stop when no element of the gradient is larger.
        tolerance_change (float): stop when neither loss nor parameters change more.
        history_size (int): number of changes remembered.
        line_search_fn (str, optional): None or ``"strong_wolfe"``.

    Raises:
        ValueError: a negative lr, or more than one parameter group.
        RuntimeError: an unknown line search.

    Source: Liu and Nocedal, On the limited memory BFGS method for large scale optimization, 1989.
    """

    def __init__(
        self,
        params,
        lr=1,
        max_iter=20,
        max_eval=None,
        tolerance_grad=1e-7,
        tolerance_change=1e-9,
        history_size=100,
        line_search_fn=None,
    ):
        _check_lr(lr)
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        super().__init__(
            params,
            dict(
                lr=lr,
                max_iter=max_iter,
                max_eval=max_eval,
                tolerance_grad=tolerance_grad,
                tolerance_change=tolerance_change,
                history_size=history_size,
                line_search_fn=line_search_fn,
            ),
        )
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self):
        return self.param_groups[0]["params"]

    def step(self, closure):
        """Make up to ``max_iter`` iterations.

        Args:
            closure: computes the loss and its gradients anew and returns the loss.

        Returns:
            The loss before the step.
        """
        with torch.no_grad():
            return self._minimize(closure)

    def _minimize(self, closure):
        if watch.listener is not None:
            watch.listener.fail("L-BFGS goes on by what losses and gradients are; what it is given to call is compiled")
        (group,) = self.param_groups
        lr = _number(group["lr"])
        tolerance_grad, tolerance_change = group["tolerance_grad"], group["tolerance_change"]
        line_search = group["line_search_fn"]
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        original_loss = _closure_loss(closure)
        loss = float(original_loss)
        evaluations = 1
        state["func_evals"] += 1
        vectors = vectors_of(self, self._params, state, group["history_size"])
        grad, largest, total, _ = vectors.gather()
        if largest <= tolerance_grad:
            return original_loss

        t = state.get("t")
        previous_loss = state.get("prev_loss")
        iteration = 0
        while iteration < group["max_iter"]:
            iteration += 1
            state["n_iter"] += 1
            first = state["n_iter"] == 1
            previous_loss, last = loss, t
            t = min(1.0, 1.0 / total if total else 1.0) * lr if first else lr
            alone = line_search is None
            direction, slope, reach = vectors.direction(grad, last, first, t if alone else None, -tolerance_change)
            if slope > -tolerance_change:
                break

            calls = 0
            converged = False
            if not alone:
                if line_search != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                loss, grad, largest, t, calls = self._search(vectors, closure, t, direction, reach, loss, grad, slope)
                converged = largest <= tolerance_grad
            elif iteration != group["max_iter"]:
                # The closure's gradients are needed only where another iteration follows.
                loss = float(_closure_loss(closure))
                grad, largest, _, _ = vectors.gather()
                converged = largest <= tolerance_grad
                calls = 1
            evaluations += calls
            state["func_evals"] += calls
            if (
                iteration == group["max_iter"]
                or evaluations >= group["max_eval"]
                or converged
                or abs(t) * reach <= tolerance_change
                or abs(loss - previous_loss) < tolerance_change
            ):
                break

        vectors.save(t)
        state["prev_loss"] = previous_loss
        return original_loss

    def _search(self, vectors, closure, t, direction, reach, loss, grad, slope):
        """Go along the direction to a point that suffices: (loss, gradient, its largest element, t, evaluations)."""
        start = vectors.here()

        def evaluate(distance):
            vectors.move(distance, direction, start)
            value = float(_closure_loss(closure))
            gradient, largest, _, slope = vectors.gather(direction)
            return _Point(distance, value, (gradient, largest), slope)

        origin = _Point(0.0, loss, (grad, None), slope)
        point, calls = _strong_wolfe(evaluate, origin, t, reach)
        vectors.move(point.t, direction, start)
        gradient, largest = point.grad
        if largest is None:
            largest = gradient.abs().max().item()
        return point.value, gradient, largest, point.t, calls
