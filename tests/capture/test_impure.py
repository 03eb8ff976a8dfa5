"""Steps whose Python has effects: compiled ones leave the values, and the Python state, that eager ones leave."""

import collections
import contextlib
import copy
import io
import json
import logging
import math
import random
import time
from random import uniform
from time import monotonic

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

CALLS = 9
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
        found = {k: v for k, v in vars(self).items() if k not in ("model", "opt")}
        found |= {"meter": vars(self.meter), "slotted": self.slotted.n, "bounded": vars(self.bounded)}
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


def tell(message, mean):
    print("told:", message, mean)


class Reporter:
    def __init__(self):
        self.prefix = "loss"

    def line(self, text):
        said = f"[{text}]"
        print(self.prefix, said)


REPORTER = Reporter()
LOG = logging.getLogger(__name__)


@case(True)
def prints_each_loss(s):
    def step(x, y):
        s.count += 1
        loss = s.train(x, y)
        s.total += loss.item()
        print(f"{s.count:3d} {loss.item():.4f} {loss:.2e} {s.total / s.count!r} {loss.item()} {x.shape[0]:>4}", end="|")
        print("plain", loss.item(), s.count, [loss.item(), (s.count,)], {"mean": s.total / s.count}, sep=", ")
        return loss
    return step


@case(True)
def prints_texts_by_other_names(s):
    def step(x, y):
        loss = s.train(x, y)
        text = f"loss {loss.item():.3f}"
        more = "{} and {:.3f}".format(text, loss.item())     # noqa: UP032
        print(text, str(loss.item()), repr(loss.item()), format(loss.item(), ".1f"))
        print(f"<{more}>")
        tell(f"{text}!", loss.item())
        REPORTER.line(f"{loss.item():.5f}")
        return loss
    return step


@case(True)
def logs_each_loss(s):
    def step(x, y):
        s.count += 1
        loss = s.train(x, y)
        LOG.warning(f"step {s.count}: {loss.item():.4f}")
        LOG.info("%d: %.3f %s", s.count, loss.item(), "lazy")
        LOG.debug(f"{loss.item()}")
        if s.count % 3 == 0:
            LOG.error("every third")
        return loss
    return step


@case(True)
def prints_while_better(s):
    def step(x, y):
        loss = s.train(x, y)
        if loss.item() < s.best:
            print(f"better: {s.best:.3f} -> {loss.item():.3f}")
            s.best = loss.item()
        return s.best
    return step


@case(False)
def looks_into_texts(s):
    def step(x, y):
        text = f"{s.train(x, y).item():.3f}"
        print(text)
        return len(text), text[0] == "0"
    return step


@case(False)
def pads_texts(s):
    def step(x, y):
        text = f"{s.train(x, y).item():.3f}"
        print(f"{text:>20}|", text.upper())
    return step


@case(False)
def prints_into_a_stream(s):
    out = io.StringIO()

    def step(x, y):
        loss = s.train(x, y)
        print(f"{loss.item():.3f}", file=out)
        return out.getvalue()
    return step


@case(False)
def prints_a_growing_list(s):
    def step(x, y):
        s.losses.append(s.train(x, y).item())
        print(s.losses)
    return step


@case(True)
def measures_its_parts(s):
    begun = monotonic()

    def step(x, y):
        t0 = time.perf_counter()
        loss = s.train(x, y)
        t1 = time.perf_counter()
        n = time.time_ns()
        took = round(max(t1 - t0, 0.0) * 0)
        s.flag = t1 >= t0 and n > 10**18 and monotonic() >= begun
        print(f"{(t1 - t0) * 0:.3f}")
        return loss, took
    return step


@case(True)
def clocks_that_nobody_reads(s):
    def step(x, y):
        times = [time.perf_counter(), time.time(), time.monotonic()]
        loss = s.train(x, y)
        times.append(time.time())
        if (x * 2).sum().item() > 0:
            s.count += 1
        return loss
    return step


@case(True)
def reports_every_minute(s):
    last = time.time() - 100

    def step(x, y):
        nonlocal last
        loss = s.train(x, y)
        now = time.time()
        s.count += 1
        if now - last > 60 or s.count == 6:
            print("a minute has gone")
            last = now
        s.flag = now - last == 0
        return loss
    return step


@case(True)
def augments_now_and_then(s):
    def step(x, y):
        if random.random() < 0.5:
            x = x * uniform(0.9, 1.1)
        weight = random.gauss(0, 1)
        n = random.randint(1, 3)
        loss = s.train(x + weight, y)
        if loss.item() < s.best:
            s.best = loss.item()
        s.losses.append(random.random())
        return loss, weight, n * 2.0, s.losses[-1]
    return step


@case(False)
def shuffles(s):
    def step(x, y):
        random.shuffle(s.queue)
        return s.train(x * s.queue[0], y), random.choice(s.queue)
    return step


@case(True)
def prints_tensors(s):
    def step(x, y):
        s.opt.zero_grad()
        loss = F.cross_entropy(s.model(x), y)
        print("loss", loss, loss.detach(), x.sum(0), x.requires_grad_(False) > 0)
        loss.backward()
        s.opt.step()
        print(s.model[0].bias.grad)
        return loss.detach()
    return step


@case(False)
def prints_weights_before_they_change(s):
    def step(x, y):
        print(s.model[0].bias.detach())
        return s.train(x, y)
    return step


@case(True)
def numbers_of_tensors_as_operands(s):
    def step(x, y):
        n = (x > 0).sum().item()
        weight = x.abs().max().item() / 2
        s.opt.zero_grad()
        loss = F.cross_entropy(s.model(x * weight), y, reduction="sum") / n
        loss.backward()
        scale = 1.0 / (loss.item() + 1e-6)
        if scale > 1.5:
            for p in s.model.parameters():
                p.grad.mul_(scale)
        s.opt.step()
        s.count += 1
        return loss.detach(), (x - weight).relu() + n * s.count, x.sum() * n, n - x.long()
    return step


@case(True)
def operands_are_read_before_they_change(s):
    def step(x, y):
        z = x.sum(1)
        n = z[0].item()
        w = (z * 2).tanh() * n
        z.add_(n)
        return s.train(x, y), w * z[0].item() + n, z
    return step


@case(False)
def operands_were_read_before_they_changed(s):
    def step(x, y):
        z = x.sum(1)
        n = z[0].item()
        z.add_(1)
        return s.train(x, y), x * n, z
    return step


class Average(Meter):
    def __str__(self):
        return f"{self.total:.3f} ({self.average:.4f})"


def worded(value, digits=3):
    return f"{value:.3f} of {digits}"


@case(True)
def prints_objects(s):
    average = Average()

    def step(x, y):
        loss = s.train(x, y)
        average.update(loss.item(), len(x))
        print(f"so far {average}", average, worded(loss.item()), f"[{worded(average.average)}]")
        return loss, average.total
    return step


@case(True)
def perplexities(s):
    def step(x, y):
        loss = s.train(x, y)
        s.total = math.exp(loss.item())
        return s.total, math.sqrt(loss.item()) + math.log(s.total), math.floor(s.total), math.pow(s.count + 1, 2)
    return step


def as_float(x, kind=float):
    return float(x) if isinstance(x, (float, torch.Tensor)) else kind(x)


@case(True)
def converted_numbers(s):
    def step(x, y):
        loss = s.train(x, y)
        s.total += float(loss)
        right = int((s.model(x).argmax(1) == y).sum())
        s.count += right
        s.last = lambda v: int(v) + float(v)
        print(f"{float(loss):.3f} {int(s.total)} {float(s.count)}", int(loss.item() * 100) / 100)
        found = s.last(s.total), as_float(loss.item()), as_float("3"), int("12"), int(x.shape[0] / 2)
        s.last = found[0]
        return found, isinstance(s.total, float), type(found[2]) is float
    return step


@case(True)
def conversions_that_raise(s):
    def step(x, y):
        loss = s.train(x, y)
        s.count += 1
        try:
            return int(loss.item() * (math.inf if s.count % 4 == 0 else 10))
        except OverflowError:
            return None
    return step


@case(True)
def numbers_that_are_too_large(s):
    def step(x, y):
        loss = s.train(x, y)
        s.count += 1
        try:
            s.total = math.exp(loss.item() * (2000 if s.count % 3 == 0 else 1))
            s.flag = 1 / (loss.item() * (s.count % 4)) > 0
        except OverflowError:
            s.total = math.inf
        except ZeroDivisionError:
            s.flag = None
        return s.total
    return step


@case(True)
def sums_of_lists(s):
    def step(x, y):
        s.losses.append(s.train(x, y).item())
        s.recent.append(s.losses[-1])
        s.total = sum(s.recent) / len(s.recent)
        if len(s.losses) % 3 == 0:
            print(f"{sum(s.losses) / len(s.losses):.4f} {min(s.losses):.3f} {max(s.losses):.3f}")
        return max(s.recent), s.total
    return step


@case(True)
def lists_that_are_replaced(s):
    def step(x, y):
        s.losses.append(s.train(x, y).item())
        if len(s.losses) == 3:
            s.total = sum(s.losses) / 3
            s.losses = []
        return s.total
    return step


@case(True)
def lists_are_looked_at(s):
    def step(x, y):
        n = len(s.losses)
        loss = s.train(x, y).item()
        if not s.losses or loss < s.losses[-1]:
            s.best = loss
        s.losses.append(loss)
        change = s.losses[-1] - s.losses[-2] if len(s.losses) > 1 else 0.0
        s.recent.append(loss)
        print(f"{len(s.losses)} losses, {len(s.recent)} recent, the last {s.losses[-1]:.3f} {change:.3f} {n}")
        return s.losses[-1], len(s.recent), s.recent[-1]
    return step


@case(True)
def means_of_the_last(s):
    def step(x, y):
        s.losses.append(s.train(x, y).item())
        s.last = sum(s.losses[-3:]) / len(s.losses[-3:])
        return s.last
    return step


@case(True)
def lists_are_cleared(s):
    def step(x, y):
        s.losses.append(s.train(x, y).item())
        if len(s.losses) == 3:
            s.total = s.losses[-1] + s.losses[0]
            s.losses.clear()
            s.losses.append(s.total)
        return len(s.losses)
    return step


@case(True)
def first_and_last(s):
    s.losses += [5, 7.0]

    def step(x, y, by=2):
        first, second = s.losses[0], s.losses[1]
        s.losses.append(s.train(x, y).item() + len(s.losses))
        return first, second, s.losses[-1], s.losses[-by]
    return step


@case(True)
def whole_numbers_as_sizes(s):
    def step(x, y):
        right = (s.model(x).argmax(1) == y).sum().item()
        n = int(y.sum()) % 2
        return s.train(x, y), torch.zeros(right % 2 + 1), x[n], table_of_module[n], list(range(n))
    return step


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.requires_grad == b.requires_grad and \
            torch.equal(a.detach(), b.detach())
    if isinstance(a, dict):
        return type(a) is type(b) and list(a) == list(b) and all(same(a[k], b[k]) for k in a) and \
            all(type(x) is type(y) for x, y in zip(a, b, strict=True))
    if isinstance(a, (list, tuple, collections.deque)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a and b != b)


def holds_stand_ins(x):
    """Whether a number (or a container) is one that is there only while a tape is written."""
    if type(x).__module__.startswith("rushlight.capture"):
        return True
    values = [*x, *x.values()] if isinstance(x, dict) else x if isinstance(x, (list, tuple, set, collections.deque)) \
        else ()
    return any(map(holds_stand_ins, values))


def outcomes(make, compiled):
    global total_of_module
    total_of_module = 0
    s = Setting()
    step = make(s)
    if compiled:
        step = torch.compile(step)
    torch.manual_seed(5)
    random.seed(5)
    g = torch.Generator().manual_seed(1)
    found = []
    told = logging.StreamHandler()
    told.setFormatter(logging.Formatter("%(levelname)s %(lineno)d %(funcName)s %(filename)s %(message)s"))
    LOG.addHandler(told)
    LOG.setLevel(logging.INFO)
    for i in range(CALLS):
        if i == 6:
            LOG.setLevel(logging.DEBUG)
        x, y = torch.randn(5, 4, generator=g), torch.randint(0, 2, (5,), generator=g)
        out = io.StringIO()
        told.stream = out
        with contextlib.redirect_stdout(out):
            try:
                result = step(x, y)
            except KeyError as e:
                result = repr(e)
        assert not holds_stand_ins([result, vars(s), vars(s.meter), s.slotted.n, vars(s.bounded)])
        found.append((copy.deepcopy(result), s.snapshot(), out.getvalue(), total_of_module))
    LOG.removeHandler(told)
    return found, step


@pytest.mark.filterwarnings("ignore:compile")
@pytest.mark.parametrize("name", CASES)
def test_values_and_state(name):
    make, native = CASES[name]
    want, _ = outcomes(make, False)
    got, step = outcomes(make, True)
    for i, (a, b) in enumerate(zip(want, got, strict=True)):
        assert same(a[0], b[0]), f"call {i}: {a[0]} is {b[0]}"
        for k in a[1]:
            assert same(a[1][k], b[1][k]), f"call {i}: {k} is {b[1][k]}, not {a[1][k]}"
        assert a[2:] == b[2:]
    if native is not None:
        assert bool(step.entries) == native, [step.refusals, step.paths]


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


def test_attributes_of_classes_are_guarded():
    class Scaled(nn.Module):
        factor = 2.0

        def forward(self, x):
            return self.scaled(x)

        def scaled(self, x):
            return x * self.factor
    m = Scaled()
    f = torch.compile(m)
    x = torch.ones(2)
    for factor in (2.0, 3.0):
        Scaled.factor = factor
        for _ in range(3):
            assert f(x).tolist() == [factor] * 2
    Scaled.scaled = lambda self, x: x - 1
    for _ in range(3):
        assert f(x).tolist() == [0, 0]
    Scaled.forward = lambda self, x: x + 1
    for _ in range(3):
        assert f(x).tolist() == [2, 2]


def test_attributes_of_functions_are_guarded():
    def f(x):
        return x * f.factor
    f.factor = 2
    g = torch.compile(f)
    for factor in (2, 3):
        f.factor = factor
        for _ in range(3):
            assert g(torch.ones(1)).item() == factor


@pytest.mark.filterwarnings("ignore:compile")
def test_code_is_as_before():
    def outer(x):
        def inner(v):
            return float(v) + int(v)
        outer.kept = inner
        return inner(x.sum())
    code, f = outer.__code__, torch.compile(outer)
    for i in range(5):
        assert f(torch.ones(2) * i) == outer(torch.ones(2) * i) == 4 * i
        assert outer.__code__ is code and outer.kept(1.5) == 2.5


@pytest.mark.filterwarnings("ignore:compile")
def test_totals_of_many_numbers():
    def epoch(x, n):
        total = 0.0
        for i in range(n):
            total += (x + i).sum().item()
        return total
    f = torch.compile(epoch, dynamic=False)
    for n in (5, 300):
        for _ in range(4):
            assert f(torch.ones(2), n) == epoch(torch.ones(2), n)
    assert len(f.entries) == 1 and "steps of arithmetic" in str(f.refusals)


@pytest.mark.filterwarnings("ignore:compile")
def test_a_tape_of_no_use_keeps_no_memory(monkeypatch):
    from rushlight.capture import tape
    monkeypatch.setattr(tape, "MOST", 50)

    def f(x):
        for _ in range(60):
            x = x * 2 + 1
        return x.cumsum(0)
    g = torch.compile(f)
    for _ in range(4):
        assert torch.equal(g(torch.ones(3)), f(torch.ones(3)))
    assert "more than 50 kernels" in str(g.refusals)
