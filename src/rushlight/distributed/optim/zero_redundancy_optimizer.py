"""`ZeroRedundancyOptimizer`: each process keeps the optimizer's state for its share of the parameters only."""

import rushlight as torch
from rushlight.distributed import objects
from rushlight.distributed.algorithms.join import Joinable, JoinHook
from rushlight.distributed.groups import of
from rushlight.optim import Optimizer


class _Shadow(JoinHook):
    def __init__(self, zero):
        self.zero = zero

    def main_hook(self):
        self.zero.step()


class ZeroRedundancyOptimizer(Optimizer, Joinable):
    """Updates this process's share of the parameters with an `optimizer_class`, then sends it to all others.

    Rajbhandari, Rasley, Ruwase and He, "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models" (2019),
    stage 1. Parameters are dealt out largest first, each to the process with the fewest numbers so far.

    Args:
        params: tensors, or dicts of parameter groups.
        optimizer_class: what updates a share; `defaults` are its arguments.
        process_group: None for all processes.
        parameters_as_bucket_view, overlap_with_ddp: the first is taken and changes nothing; the second is refused.
    """

    def __init__(self, params, optimizer_class, process_group=None, parameters_as_bucket_view=False,
                 overlap_with_ddp=False, **defaults):
        if overlap_with_ddp:
            raise NotImplementedError("ZeroRedundancyOptimizer: overlap_with_ddp")
        Joinable.__init__(self)
        self.process_group = of(process_group)
        self.rank, self.world_size = self.process_group.rank(), self.process_group.size()
        self._optim_constructor, self._optim_defaults = optimizer_class, defaults
        self._gathered, self.optim = None, None
        params = list(params)
        if not params:
            raise ValueError("ZeroRedundancyOptimizer got an empty parameter list")
        super().__init__(params, dict(defaults))
        self._deal()

    def _deal(self):
        """Decide who updates what, and make the optimizer of this process's share."""
        sizes, self._owner = [0] * self.world_size, {}
        for group in self.param_groups:
            for p in sorted(group["params"], key=lambda p: p.numel(), reverse=True):
                owner = sizes.index(min(sizes))
                self._owner[p] = owner
                sizes[owner] += p.numel()
        shares = [{**group, "params": [p for p in group["params"] if self._owner[p] == self.rank]}
                  for group in self.param_groups]
        self._share = [i for i, group in enumerate(shares) if group["params"]]
        old = self.optim
        mine = [shares[i] for i in self._share]
        self.optim = self._optim_constructor(mine, **self._optim_defaults) if mine else None
        if old is not None and self.optim is not None:
            self.optim.state.update(old.state)
        if self.optim is not None:          # what it added to its groups belongs into ours
            for i, group in zip(self._share, self.optim.param_groups):
                for key, value in group.items():
                    if key != "params":
                        self.param_groups[i].setdefault(key, value)

    @property
    def _all_params(self):
        return [p for group in self.param_groups for p in group["params"]]

    def add_param_group(self, param_group):
        """Add a group; shares are dealt out anew."""
        super().add_param_group(param_group)
        if self.optim is not None:
            self._deal()

    def step(self, closure=None, **kwargs):
        """Update this process's share, and get the others' from them; returns what `closure` returned."""
        loss = None
        if self.optim is None:
            if closure is not None:
                with torch.enable_grad():
                    loss = closure()
        else:
            for i, group in zip(self._share, self.optim.param_groups):
                for key, value in self.param_groups[i].items():
                    if key != "params":
                        group[key] = value      # a schedule may have changed it
            loss = self.optim.step(**kwargs) if closure is None else self.optim.step(closure, **kwargs)
        with torch.no_grad():
            works = [self.process_group.broadcast([p.detach()], self._owner[p]) for p in self._all_params]
            for work in works:
                work.wait()
        return loss

    def consolidate_state_dict(self, to=0):
        """Bring all state together on rank `to`, for `state_dict`. All processes call this."""
        place = {p: i for i, p in enumerate(self._all_params)}
        mine = {} if self.optim is None else {place[p]: state for p, state in self.optim.state.items()}
        everywhere = [None] * self.world_size if self.rank == to else None
        objects.gather_object(mine, everywhere, group=self.process_group, group_dst=to)
        self._gathered = None
        if self.rank == to:
            self._gathered = {i: s for share in everywhere for i, s in share.items()}

    def state_dict(self):
        """The state of all parameters, as `optimizer_class` itself would have it; after `consolidate_state_dict`.

        RuntimeError on ranks that the state was not brought to.
        """
        if self._gathered is None:
            raise RuntimeError(f"Optimizer state has not been consolidated on this rank. Please call "
                               f"`consolidate_state_dict(to={self.rank})` on all ranks beforehand if you meant to save "
                               f"the global state.")
        place = {p: i for i, p in enumerate(self._all_params)}
        groups = [{**{k: v for k, v in g.items() if k != "params"}, "params": [place[p] for p in g["params"]]}
                  for g in self.param_groups]
        return {"state": dict(sorted(self._gathered.items())), "param_groups": groups}

    def load_state_dict(self, state_dict):
        """Take this process's share of a state of all parameters."""
        params = self._all_params
        for group, told in zip(self.param_groups, state_dict["param_groups"]):
            group.update({k: v for k, v in told.items() if k != "params"})
        order = [i for g in state_dict["param_groups"] for i in g["params"]]
        if len(order) != len(params):
            raise ValueError("loaded state dict has a different number of parameters")
        if self.optim is None:
            return
        place = {p: i for i, p in enumerate(p for g in self.optim.param_groups for p in g["params"])}
        state = {place[p]: state_dict["state"][i] for i, p in zip(order, params)
                 if p in place and i in state_dict["state"]}
        groups = []
        for i, g in zip(self._share, self.optim.param_groups):
            options = {k: v for k, v in self.param_groups[i].items() if k != "params"}
            groups.append({**options, "params": [place[p] for p in g["params"]]})
        self.optim.load_state_dict({"state": state, "param_groups": groups})

    def join_hook(self, **kwargs):
        """A `JoinHook` that goes on stepping, so that the others get this process's share."""
        return _Shadow(self)

    @property
    def join_device(self):
        return torch.device("cpu")

    @property
    def join_process_group(self):
        return self.process_group
