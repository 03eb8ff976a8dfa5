"""Training steps whose Python has effects, by name, for `test_impure`: counters, containers, attributes, randomness."""

import collections
import copy
import json
import math
import random
import time

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

CASES = {}
total_of_module = 0
table_of_module = [0.5, 1.0, 1.5, 2.0, 0.25, 0.75, 1.25, 1.75, 3.0, 4.0, 5.0, 6.0]


class Meter:
    def __init__(self):
        self.total, self.n, self.average = 0.0, 0, 0.0

    def update(self, value, n=1):
        self.total += value * n
        self.n += n
        self.average = self.total / self.n


class Slotted:
    __slots__ = ("n",)

    def __init__(self):
        self.n = 0


class Bounded:
    def __init__(self):
        self._value = 0

    @property
    def value(self):
        return self._value

    @value.setter
    def value(self, new):
        self._value = min(new, 4)


class Setting:
    """A model, its training, and places of many kinds."""

    def __init__(self):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
        self.opt = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.count, self.total, self.best, self.flag, self.name = 0, 0.0, 1e9, False, "a"
        self.losses, self.log, self.numbers, self.queue = [], {}, [0, 1.0, 2], list(range(20))
        self.counts = {"steps": 0, "n": 0.0}
        self.recent = collections.deque(maxlen=3)
        self.counter, self.by_kind = collections.Counter(), collections.defaultdict(int)
        self.seen, self.last, self.state, self.pair = set(), None, torch.zeros(2), (0, 0.0)
        self.meter, self.slotted, self.bounded = Meter(), Slotted(), Bounded()

    def train(self, x, y):
        self.opt.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        self.opt.step()
        return loss.detach()

    def snapshot(self):
        """All there is to compare."""
        found = {k: v for k, v in vars(self).items() if k not in ("model", "opt", "bar")}
        found |= {"meter": vars(self.meter), "slotted": self.slotted.n, "bounded": vars(self.bounded),
                  "bar": vars(getattr(self, "bar", self.meter))}
        found |= {"model": dict(self.model.state_dict()), "opt": self.opt.state_dict(), "rng": torch.get_rng_state(),
                  "random": random.getstate(), "extra": {k: v for k, v in vars(self.model).items() if k in ("hits",)}}
        return copy.deepcopy(found)


def case(native=None):
    def add(make):
        CASES[make.__name__] = make, native
        return make
    return add


@case(True)
def counter(s):
    def step(x, y):
        s.count += 1
        return s.train(x, y)
    return step


@case(True)
def counters_in_a_dict(s):
    def step(x, y):
        s.counts["steps"] += 1
        s.counts["n"] += len(x) / 2
        return s.train(x, y)
    return step


@case(True)
def counters_in_a_list(s):
    def step(x, y):
        s.numbers[0] += 2
        s.numbers[1] *= 1.5
        s.numbers[-1] -= 1
        return s.train(x, y)
    return step


@case(True)
def counter_of_the_module(s):
    def step(x, y):
        global total_of_module
        total_of_module += 1
        return s.train(x, y), total_of_module
    return step


@case(True)
def counter_in_a_closure(s):
    n, losses = 0, []

    def step(x, y):
        nonlocal n
        n += 3
        loss = s.train(x, y)
        losses.append(loss.item())
        return loss, n
    return step


@case(True)
def attribute_of_the_model(s):
    s.model.hits = 0

    def step(x, y):
        s.model.hits = s.model.hits + 1
        return s.train(x, y)
    return step


@case(True)
def several_numbers(s):
    def step(x, y):
        loss = s.train(x, y)
        right = (s.model(x).argmax(1) == y).sum().item()
        s.count += right
        s.total += loss.item() * len(x)
        s.pair_sum = s.total / (s.count + 1)
        return {"right": right, "mean": s.total / (s.count + 1), "n": s.count}
    return step


@case(True)
def meter(s):
    def step(x, y):
        loss = s.train(x, y)
        s.meter.update(loss.item(), len(x))
        return s.meter.average
    return step


@case(True)
def moving_average(s):
    def step(x, y):
        loss = s.train(x, y).item()
        s.total = 0.9 * s.total + 0.1 * loss
        s.last = round(loss, 3)
        return -s.total, abs(s.total) ** 2, s.total // 0.01
    return step


@case(True)
def appended_numbers(s):
    def step(x, y):
        s.losses.append(s.train(x, y).item())
    return step


@case(True)
def appended_rows(s):
    def step(x, y):
        s.count += 1
        loss = s.train(x, y)
        s.losses.append({"step": s.count, "loss": loss.item(), "both": (s.count, [loss.item() * 2])})
    return step


@case(True)
def appended_tensors(s):
    def step(x, y):
        s.losses.append(s.train(x, y))
        s.losses += [x.sum(), 3]
        s.losses.extend((y, None))
    return step


@case(True)
def recent_losses(s):
    def step(x, y):
        loss = s.train(x, y)
        s.recent.append(loss.item())
        return loss
    return step


@case(True)
def logged_by_step(s):
    def step(x, y):
        s.log[s.count] = s.train(x, y).item()
        s.count += 1
    return step


@case(True)
def replaced_tensor(s):
    def step(x, y):
        loss = s.train(x, y)
        s.state = torch.tanh(s.state + x.mean(0)[:2])
        return loss, s.state * 2
    return step


@case(True)
def last_results(s):
    def step(x, y):
        s.last = s.train(x, y)
        s.flag = True
        return s.last
    return step


@case(True)
def prints_now_and_then(s):
    def step(x, y):
        loss = s.train(x, y)
        if s.count % 4 == 0:
            print(f"step {s.count}")
        s.count += 1
        return loss
    return step


@case(True)
def accumulates(s):
    def step(x, y):
        loss = F.cross_entropy(s.model(x), y) / 2
        loss.backward()
        if (s.count + 1) % 2 == 0:
            s.opt.step()
            s.opt.zero_grad()
        s.count += 1
        return loss.detach()
    return step


@case(True)
def warm_up(s):
    def step(x, y):
        scale = min(1.0, (s.count + 1) / 4)
        s.count += 1
        return s.train(x * scale, y)
    return step


@case(True)
def scaled_by_a_counter(s):
    def step(x, y):
        s.count += 1
        return s.train(x / s.count, y) * (1.0 / s.count) + torch.ones(2).mul(s.count)
    return step


@case()
def cosine(s):
    def step(x, y):
        s.count += 1
        return s.train(x * (0.5 * (1 + math.cos(math.pi * s.count / 10))), y)
    return step


@case(True)
def learning_rate_set_inside(s):
    def step(x, y):
        for group in s.opt.param_groups:
            group["lr"] = 0.1 / (s.count + 1)
        s.count += 1
        return s.train(x, y)
    return step


@case(True)
def two_ways(s):
    def step(x, y):
        s.count += 1
        if s.count > 5:
            return s.train(x * 2, y)
        return s.train(x, y)
    return step


@case()
def toggles(s):
    def step(x, y):
        s.flag = not s.flag
        s.name = "b" if s.name == "a" else "a"
        return s.train(x if s.flag else -x, y)
    return step


@case()
def best_so_far(s):
    def step(x, y):
        loss = s.train(x, y).item()
        s.best = min(s.best, loss)
        return s.best
    return step


@case()
def patience(s):
    def step(x, y):
        loss = s.train(x, y).item()
        if loss < s.best - 0.01:
            s.best, s.count = loss, 0
        else:
            s.count += 1
        return s.count >= 2
    return step


@case(True)
def length_is_read(s):
    def step(x, y):
        s.losses.append(1.0)
        return s.train(x, y) * len(s.losses)
    return step


@case(True)
def last_is_read(s):
    def step(x, y):
        s.losses.append(s.losses[-1] + 1 if s.losses else 0)
        return s.train(x, y)
    return step


@case()
def list_added_up(s):
    def step(x, y):
        s.losses.append(s.train(x, y).item())
        return sum(s.losses) / len([0, *s.losses])
    return step


@case()
def list_in_an_expression(s):
    def step(x, y):
        s.losses.append(2.0)
        return s.train(x, y), [1] + s.losses, s.losses == [2.0], tuple(s.losses)
    return step


@case()
def list_reached_in_two_ways(s):
    put = s.losses.append
    both = (s.losses, s.numbers)

    def step(x, y):
        put(s.train(x, y).item())
        return len(both[0])
    return step


@case()
def queue_is_taken_from(s):
    def step(x, y):
        return s.train(x * s.queue.pop(0), y)
    return step


@case()
def looked_up_by_counter(s):
    def step(x, y):
        s.count += 1
        return s.train(x * table_of_module[s.count], y), table_of_module[:s.count], "abcdefghijkl"[s.count]
    return step


@case()
def looked_up_by_number(s):
    def step(x, y):
        at = y.sum().item()
        return s.train(x, y), table_of_module[at]
    return step


@case()
def as_many_times(s):
    def step(x, y):
        s.count += 1
        for _ in range(s.count % 3):
            x = x * 1.1
        return s.train(x, y), [0] * s.count
    return step


@case()
def shapes_by_counter(s):
    def step(x, y):
        s.count = s.count % 3 + 1
        return s.train(x, y), x[:, :s.count].sum(), torch.zeros(s.count), x.narrow(1, 0, s.count), x[s.count]
    return step


@case()
def number_into_tensors(s):
    def step(x, y):
        s.count += 1
        n = s.train(x, y).item()
        return torch.full((2,), s.count), torch.tensor([n, s.count]), x.clamp(max=n), x.add(x, alpha=s.count)
    return step


@case()
def texts(s):
    def step(x, y):
        loss = s.train(x, y).item()
        s.count += 1
        s.name = "%d: %.3f" % (s.count, loss)
        s.losses.append(f"{loss:.2e}")
        return f"{s.count}", format(loss), str(s.count)
    return step


@case()
def hashes(s):
    def step(x, y):
        s.count += 1
        s.seen.add(s.count)
        return s.train(x, y), {s.count: 1}, s.count in s.seen
    return step


@case()
def counting_classes(s):
    def step(x, y):
        s.counter["steps"] += 1
        s.counter.update(["a", "b"])
        s.by_kind["n"] += 2
        return s.train(x, y)
    return step


@case()
def set_by_default(s):
    def step(x, y):
        s.log.setdefault("losses", []).append(s.train(x, y).item())
        s.log["n"] = s.log.get("n", 0) + 1
    return step


@case()
def tuple_replaced(s):
    def step(x, y):
        n, t = s.pair
        s.pair = n + 1, t + s.train(x, y).item()
        return s.pair
    return step


@case()
def slots_and_properties(s):
    def step(x, y):
        s.slotted.n += 1
        s.bounded.value += 1
        return s.train(x, y), s.bounded.value
    return step


@case()
def types_are_asked(s):
    def step(x, y):
        s.count += 1
        n = s.train(x, y).item()
        return isinstance(n, float), isinstance(s.count, int), isinstance(s.count, bool), n.is_integer(), n == n
    return step


@case()
def bits(s):
    def step(x, y):
        s.count += 3
        return s.train(x, y), s.count & 5, s.count << 1, ~s.count, s.count ^ 2, divmod(s.count, 4), s.count.bit_length()
    return step


@case()
def not_a_number(s):
    def step(x, y):
        loss = s.train(x, y)
        if not math.isfinite(loss.item()):
            raise RuntimeError("diverged")
        return loss
    return step


@case()
def raises_later(s):
    def step(x, y):
        s.count += 1
        if s.count == 6:
            raise KeyError(s.count)
        return s.train(x, y)
    return step


@case(True)
def times_itself(s):
    def step(x, y):
        begin = time.perf_counter()
        loss = s.train(x, y)
        s.flag = time.perf_counter() - begin >= 0
        return loss
    return step


@case(True)
def random_numbers(s):
    def step(x, y):
        return s.train(x * random.random(), y), random.randint(0, 5)
    return step


@case()
def writes_json(s):
    def step(x, y):
        s.count += 1
        loss = s.train(x, y)
        if s.count % 3 == 0:
            s.name = json.dumps({"step": s.count, "loss": loss.item()})
        return loss
    return step


@case()
def new_objects(s):
    def step(x, y):
        s.last = Meter()
        s.last.update(s.train(x, y).item())
        s.last = s.last.average
        s.losses = [*s.losses, s.last]
        return s.last
    return step


@case()
def functions_are_kept(s):
    def step(x, y):
        loss = s.train(x, y)
        f = [lambda: loss * 2, lambda: s.count]
        s.count += 1
        return f[0](), f[1]()
    return step


class Shared:
    scale, calls, history = 2.0, 0, []


@case(True)
def attributes_of_functions(s):
    def step(x, y):
        step.calls += 1
        return s.train(x, y), step.calls
    step.calls = 0
    return step


@case()
def attributes_of_classes(s):
    Shared.scale, Shared.calls, Shared.history = 2.0, 0, []

    def step(x, y):
        Shared.calls += 1
        Shared.history.append(Shared.calls)
        if Shared.calls > 5:
            Shared.scale = 1.0
        return s.train(x * Shared.scale, y), Shared.calls, list(Shared.history)
    return step
