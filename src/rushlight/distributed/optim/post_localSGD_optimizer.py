"""`PostLocalSGDOptimizer`: local steps, and averages of the parameters now and then."""

import warnings

from rushlight.optim import Optimizer


class PostLocalSGDOptimizer(Optimizer):
    """Steps `optim`, then lets `averager` (a `ModelAverager`) average the parameters when it is time.

    Lin, Stich, Patel and Jaggi, "Don't Use Large Mini-Batches, Use Local SGD" (2018).
    """

    def __init__(self, optim, averager):
        self.optim, self.averager = optim, averager
        self.param_groups = optim.param_groups

    @property
    def state(self):
        return self.optim.state

    def __repr__(self):
        return self.optim.__repr__()

    def state_dict(self):
        """The optimizer's state, with the averager's step under "step"."""
        return {**self.optim.state_dict(), "step": self.averager.step}

    def load_state_dict(self, state_dict):
        """Take over what `state_dict` gave."""
        self.optim.load_state_dict({k: v for k, v in state_dict.items() if k != "step"})
        self.param_groups = self.optim.param_groups
        if "step" in state_dict:
            self.averager.step = state_dict["step"]
        else:
            warnings.warn("Loaded state dict does not contain a step counter for an averager. Setting step counter to "
                          "0.", stacklevel=2)
            self.averager.step = 0

    def step(self, *args, **kwargs):
        """One step, and an average if it is time."""
        result = self.optim.step(*args, **kwargs)
        self.averager.average_parameters(params=self.param_groups)
        return result

    def zero_grad(self, set_to_none=True):
        """As the optimizer's."""
        self.optim.zero_grad(set_to_none=set_to_none)

    def add_param_group(self, param_group):
        """As the optimizer's."""
        self.optim.add_param_group(param_group)
