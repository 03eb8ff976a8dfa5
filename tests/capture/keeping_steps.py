"""More steps for `test_impure`: texts of numbers that are kept, what is stored and never read, and who looks at it."""

import copy
import math
from json import dumps

from impure_steps import case

import rushlight as torch


class Bar:
    """What shows progress."""

    def __init__(self):
        self.n, self.postfix, self.description, self.lines = 0, None, "", []

    def set_postfix(self, **values):
        self.postfix = values

    def set_description(self, text):
        self.description = text
        self.n += 1

    def shout(self):
        return self.description.upper()


def step_of(do):
    """A step that trains, counts and does something with the loss."""
    def make(s):
        s.bar = Bar()
        s.log.update(text="", n=0, sub={"a": ""})

        def step(x, y):
            loss = s.train(x, y)
            s.count += 1
            return do(s, loss)
        return step
    make.__name__ = do.__name__
    return make


def kept(native=True):
    return lambda do: case(native)(step_of(do))


@kept()
def every_third_call(s, loss):
    if s.count % 3 == 0:
        s.log["text"] = f"{loss.item():.3f}"


@kept()
def of_all_kinds(s, loss):
    v = loss.item()
    s.log["text"] = "%.3f" % v
    s.log["n"] = s.log["n"] + 1
    s.bar.description = f"step {s.count}: {v:>9.4f} {v * 100:.1f}%"
    s.losses.append("{:.2f} of {}".format(v, s.count))          # noqa: UP032
    s.log["sub"]["a"] = str(v) + "!"
    return f"{v:.4f}", {"loss": round(v, 4), "texts": ["%d %.2f %s" % (s.count, v, "a")]}


@kept()
def joined(s, loss):
    v = {"a": loss.item(), "b": 2 * loss.item()}
    print(" | ".join(f"{k}: {x:.4f}" for k, x in v.items()))
    s.log["text"] = ", ".join([f"{k}={x:.3f}" for k, x in v.items()])
    line = ""
    for k, x in v.items():
        line += f"{k} {x:.2e} "
    s.bar.set_description(line)


@kept()
def in_containers(s, loss):
    row = {"loss": f"{loss.item():.3f}", "n": s.count}
    row["more"] = "%g" % loss.item()
    s.losses.append(row)
    s.log.update(text=f"{loss.item():.1f}", n=loss.item())
    s.bar.set_postfix(loss=f"{loss.item():.3f}", n=s.count, parts=[loss.item(), (s.count,)])
    print(row, [f"{loss.item():.5f}"])


@kept()
def as_keys(s, loss):
    s.numbers[0] += 1
    s.counts[f"step {s.count}"] = loss.item()


@kept()
def of_constants(s, loss):
    s.name = "odd" if s.count % 2 else "even"
    s.flag = s.count % 3 == 0
    s.log["text"] = "low" if loss.item() < 0.7 else "high"
    return s.log["text"] == "low"


@kept()
def better_or_not(s, loss):
    if loss.item() < s.best:
        s.best = loss.item()
        s.log["text"] = f"{s.best:.4f}"
    s.log["n"] += 1
    return s.log["n"]


@kept()
def best_state(s, loss):
    if loss.item() < s.best:
        s.best = loss.item()
        s.log["best"] = copy.deepcopy(s.model.state_dict())
        s.bar.postfix = copy.deepcopy({"n": s.count, "loss": [loss.item(), loss]})
    return copy.deepcopy((s.count, loss))


@kept(None)
def copies_of_all_kinds(s, loss):
    a = torch.arange(4.)
    same = copy.deepcopy([a, a, s.meter, loss])
    shared = copy.deepcopy([a, a[1:]])
    a.add_(loss)
    shared[0].add_(1)
    nested = [loss]
    nested.append(nested)
    p, q = copy.deepcopy(s.model[0].weight), copy.deepcopy(nested)
    return [a, same[0] is same[1], type(same[2]).__name__, *shared, p.detach(), type(p).__name__, q[1] is q]


@kept(False)
def read_afterwards(s, loss):
    s.bar.description = f"{loss.item():.3e}"
    return s.bar.shout()


@kept(None)
def read_from_some_call_on(s, loss):
    s.bar.description = f"{loss.item():.3e}"
    return s.bar.shout() if s.count > 5 else None


@kept(None)
def read_by_other_means(s, loss):
    s.bar.description = f"{loss.item():.3e}"
    if s.count == 6:
        return copy.copy(s.bar).__dict__["description"]
    return vars(s.bar)["description"] if s.count == 8 else None


@kept(None)
def read_from_the_dict(s, loss):
    s.log["text"] = f"{loss.item():.3f}"
    return s.log["text"][:3], [v for k, v in s.log.items() if k == "text"], len(s.log)


@kept(None)
def read_from_a_list(s, loss):
    s.losses.append(f"{loss.item():.3f}")
    return s.losses[-1].rjust(9), ",".join(s.losses)


@kept(None)
def known_by_two_names(s, loss):
    s.pair = (s.log["sub"],)
    s.log["sub"]["a"] = f"{loss.item():.3f}"
    return s.pair[0]["a"] + "."


@kept(None)
def written_as_json(s, loss):
    s.log["n"], s.log["text"] = loss.item(), f"{loss.item():.3f}"
    return dumps(s.log), dumps([loss.item(), s.count])


@kept(None)
def looked_at_by_numpy(s, loss):
    import numpy as np
    mean = np.mean([loss.item(), 1.0])
    return type(mean).__name__, mean.item()


@kept(None)
def measured_texts(s, loss):
    return len(f"{loss.item():.3g}"), f"{loss.item():.3f}" > "0.7", "%s" % loss.item() in ("a", "b")


@kept(None)
def percent_of_other_things(s, loss):
    s.log["text"] = "%(a).2f" % {"a": loss.item()}
    try:
        one = (loss.item(),)
        return "%d %d" % one
    except TypeError as e:
        return "%s and %r, %s" % (e, [s.count], loss.item()), "%.1f of %5.2f" % (loss, torch.tensor(math.pi))


@kept()
def weights_of_sums(s, loss):
    share = min(0.9, (1 + s.count) / (10 + s.count))
    s.last = torch.zeros(2) if s.last is None else s.last
    s.last.mul_(share).add_(s.state, alpha=1 - share).sub_(1.0, alpha=share)
    s.last.addcmul_(s.last, s.state, value=share)
    return torch.add(s.last, s.state, alpha=loss.item())
