"""More steps for `test_impure`: what is told, timed, drawn and computed with numbers that were read from tensors."""

import io
import logging
import math
import random
import time
from random import uniform
from time import monotonic

from impure_steps import Meter, case, table_of_module

import rushlight as torch
from rushlight.nn import functional as F


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


class Metered:
    """The meter that many training scripts have."""

    def __init__(self, name, form):
        self.name, self.form, self.val, self.sum, self.count, self.avg = name, form, 0, 0, 0, 0

    def update(self, val, n=1):
        self.val = val
        self.sum += val * n
        self.count += n
        self.avg = self.sum / self.count

    def __str__(self):
        form = "{name} {val" + self.form + "} ({avg" + self.form + "})"
        return form.format(**self.__dict__)


class Progress:
    def __init__(self, number, meters, prefix):
        self.form, self.meters, self.prefix = "[{:3d}/" + str(number) + "]", meters, prefix

    def display(self, i):
        entries = [self.prefix + self.form.format(i)]
        entries += [str(meter) for meter in self.meters]
        print("\t".join(entries))


@case(True)
def prints_meters(s):
    losses, right = Metered("loss", ":.4e"), Metered("right", ":6.2f")
    progress = Progress(9, [losses, right], "epoch 0: ")

    def step(x, y):
        s.count += 1
        loss = s.train(x, y)
        losses.update(loss.item(), len(x))
        right.update((x.sum(1, keepdim=True) > 0).float().mean(), len(x))
        if s.count % 2:
            progress.display(s.count)
        print(losses, right, f"{losses}|")
        print("{name}: {loss:.3f} of {n:>3d}".format(name="loss", loss=loss.item(), n=s.count))
        told = {"loss": loss.item(), "n": s.count}
        print("{n:>9.3f}|{loss:.2f}".format(**told), "{0:.3e} {0:.2f}".format(loss.item()))
        return losses.avg
    return step
