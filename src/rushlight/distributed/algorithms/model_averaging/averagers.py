"""When and over whom parameters are averaged."""

from abc import ABC, abstractmethod

from rushlight.distributed.groups import of

from .utils import average_parameters_or_parameter_groups


class ModelAverager(ABC):
    """Counts steps and averages parameters at some of them."""

    def __init__(self, process_group=None):
        self.process_group = of(process_group)
        self.step = 0

    @abstractmethod
    def average_parameters(self, params):
        """Average `params` (parameters or an optimizer's groups) if it is time."""


class PeriodicModelAverager(ModelAverager):
    """Averages after each `period` steps once `warmup_steps` are over.

    Raises ValueError for a negative warm-up or a period below 1.
    """

    def __init__(self, period, warmup_steps=0, process_group=None):
        super().__init__(process_group)
        if warmup_steps < 0:
            raise ValueError("Arg ``warmup_steps`` must be a non-negative number.")
        if period < 1:
            raise ValueError("Arg ``period`` must be a positive value.")
        self.period, self.warmup_steps = period, warmup_steps

    def average_parameters(self, params):
        if self.step >= self.warmup_steps and (self.step - self.warmup_steps) % self.period == 0:
            average_parameters_or_parameter_groups(params, self.process_group)
        self.step += 1
