"""`Reducer`: averages gradients over processes while the backward pass still computes others.

Parameters lie in buckets in the reverse order of registration, about the order in which their gradients become
ready. When all gradients of a bucket are there its reduction starts in the group's thread; the hook of the last
gradient waits for all.
"""

import rushlight as torch

from .buckets import GradBucket, assign, cut
from .reducing import ReduceOp

_UNFINISHED = (
    "Expected to have finished reduction in the prior iteration before starting a new one. This error indicates that "
    "your module has parameters that were not used in producing loss. You can enable unused parameter detection by "
    "passing the keyword argument `find_unused_parameters=True` to "
    "`torch.nn.parallel.DistributedDataParallel`, and by \n"
    "making sure all `forward` function outputs participate in calculating loss. \n"
    "If you already have done the above, then the distributed data parallel module wasn't able to locate the output "
    "tensors in the return value of your module's `forward` function.")


class _Bucket:
    """Parameters whose gradients travel together."""

    def __init__(self, parameters):
        self.parameters = parameters
        self.buffer = torch.zeros(sum(p.numel() for p in parameters), dtype=parameters[0].dtype)
        self.views = cut(self.buffer, parameters)
        self.left, self.future = 0, None


class Reducer:
    """Reduces gradients of `parameters` over `group`, in buckets.

    Args:
        parameters: those that need gradients.
        names: their names, for messages.
        group: the `ProcessGroup`.
        caps: bytes at which buckets are full, one after the other; the last holds for all further ones.
        find_unused: look through the graph for parameters that no output depends on.
        as_view: let gradients be views of the buckets.
        static: which parameters are unused is the same in all iterations.
    """

    def __init__(self, parameters, names, group, caps, find_unused=False, as_view=False, static=False):
        self.parameters, self.names, self.group = parameters, names, group
        self.find_unused, self.as_view, self.static = find_unused, as_view, static
        self.buckets = [_Bucket(ps) for ps in assign(parameters[::-1], caps)]
        self._place = {id(p): (b, i) for b in self.buckets for i, p in enumerate(b.parameters)}
        self._index = {id(p): i for i, p in enumerate(parameters)}
        self.hook = None                # (state, function)
        self.divisor = group.size()
        self._expecting, self._ready, self._next, self._used = False, set(), 0, None
        self.iterations = 0
        self._handles = [p.register_post_accumulate_grad_hook(self._arrived) for p in parameters]

    def remove(self):
        """Take all hooks off the parameters."""
        for handle in self._handles:
            handle.remove()

    # ------------------------------------------------------------ a pass

    def check_finished(self):
        """RuntimeError when gradients of the pass before are missing."""
        if self._expecting and self._ready:
            missing = [self._index[id(p)] for p in self.parameters if id(p) not in self._ready]
            self._expecting = False
            names = ", ".join(self.names[i] for i in missing)
            raise RuntimeError(f"{_UNFINISHED}\nParameter indices which did not receive grad for rank "
                               f"{self.group.rank()}: {' '.join(map(str, missing))} ({names})")

    def prepare(self, outputs):
        """Expect the gradients of a backward pass from `outputs`, the tensors that forward returned."""
        self.check_finished()
        self._expecting, self._ready, self._next = True, set(), 0
        self._used = set()
        for b in self.buckets:
            b.left, b.future = len(b.parameters), None
        if self.find_unused or self.static:
            reached = leaves(outputs)
            unused = [p for p in self.parameters if id(p) not in reached]
            self._unused = {id(p) for p in unused}
            if len(unused) < len(self.parameters):
                for p in unused:
                    self._mark(p)
        else:
            self._unused = set()

    def skip(self):
        """Let the gradients of the next backward pass stay in this process."""
        self._expecting = False

    def _arrived(self, p):
        if not self._expecting:
            return
        if id(p) in self._ready:
            name = self.names[self._index[id(p)]]
            raise RuntimeError(f"Expected to mark a variable ready only once. This error is caused by a second "
                               f"gradient of {name} in one iteration: forward or backward ran twice between two of "
                               f"the other, or the parameter was taken for unused.")
        with torch.no_grad():
            self._used.add(id(p))
            self._mark(p)

    def _mark(self, p):
        bucket, i = self._place[id(p)]
        view, g = bucket.views[i], p.grad
        scale = self.hook is None
        if id(p) in self._unused or g is None:
            view.zero_()
        elif g._storage is view._storage and g._offset == view._offset:
            if scale:
                view.mul_(1 / self.divisor)
        elif scale:
            torch.mul(g, 1 / self.divisor, out=view)
        else:
            view.copy_(g)
        self._ready.add(id(p))
        bucket.left -= 1
        while self._next < len(self.buckets) and not self.buckets[self._next].left:
            self._launch(self._next)
            self._next += 1
        if self._next == len(self.buckets):
            self._finish()

    def _launch(self, index):
        bucket = self.buckets[index]
        if self.hook is None:
            bucket.future = self.group.allreduce([bucket.buffer], ReduceOp.SUM)
            return
        state, function = self.hook
        last = index == len(self.buckets) - 1
        bucket.future = function(state, GradBucket(index, bucket.buffer, bucket.parameters, last))

    def _finish(self):
        """Wait for all buckets and give the parameters their gradients."""
        used = None
        if self.find_unused and not self.static:
            used = torch.tensor([id(p) in self._used for p in self.parameters]).to(torch.int32)
            self.group.allreduce([used], ReduceOp.SUM).wait()
            used = used.tolist()
        for bucket in self.buckets:
            result = bucket.future.wait()
            if self.hook is not None:
                result = result[0] if isinstance(result, (list, tuple)) else result
                if result is not bucket.buffer:
                    bucket.buffer.copy_(result.view(-1))
            for p, view in zip(bucket.parameters, bucket.views):
                if used is not None and not used[self._index[id(p)]]:
                    continue            # nobody used it: its gradient stays what it was
                g = p.grad
                if self.as_view:
                    if g is None or g._storage is not view._storage:
                        p.grad = view
                elif g is None:
                    p.grad = view.clone().as_strided(p.shape, p.stride()) if p.is_contiguous() else view.clone()
                else:
                    g.copy_(view)
            bucket.future = None
        self._expecting = False
        self.iterations += 1

    # ------------------------------------------------------------ for those without input

    def shadow(self):
        """Take part in the reductions of a pass that only other processes have."""
        for b in self.buckets:
            b.buffer.zero_()
        for i in range(len(self.buckets)):
            self._launch(i)
        if self.find_unused and not self.static:
            self.group.allreduce([torch.zeros(len(self.parameters), dtype=torch.int32)], ReduceOp.SUM).wait()
        for b in self.buckets:
            b.future.wait()


def leaves(outputs):
    """Ids of all leaf tensors that tensors of `outputs` (nested as you like) depend on."""
    from rushlight.utils._pytree import tree_flatten
    found, seen, stack = set(), set(), []
    for t in tree_flatten(outputs)[0]:
        if isinstance(t, torch.Tensor) and t.requires_grad:
            if t.grad_fn is None:
                found.add(id(t))
            else:
                stack.append(t.grad_fn)
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        for edge in node.edges:
            if edge is None:
                continue
            target = edge[0]
            if isinstance(target, torch.Tensor):
                found.add(id(target))
            elif hasattr(target, "variable"):
                found.add(id(target.variable))
            else:
                stack.append(target)
    return found
