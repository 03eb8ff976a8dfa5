"""What PyTorch's database says must be refused is refused, by an exception of the same type."""

import re
import warnings

import pytest

from .database import find, ours

torch = pytest.importorskip("torch")
db = pytest.importorskip("torch.testing._internal.common_methods_invocations").op_db

LEFT_OUT = re.compile(r"^_|sparse|jiterator|ops\.aten")
SHARE = 0.95


def raised(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except Exception as error:
            return type(error)
    return None


def inputs_of(op):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return list(op.error_inputs("cpu"))
        except Exception:
            return []


def test_error_types(record_property):
    same, wrong = 0, []
    for op in db:
        if op.error_inputs_func is None or LEFT_OUT.search(op.name) or find(op.name) is None:
            continue
        for number, case in enumerate(inputs_of(op)):
            sample = case.sample_input
            expected = raised(lambda: op.op(sample.input, *sample.args, **sample.kwargs))
            if expected is None:
                continue
            try:
                x, args, kwargs = ours((sample.input, sample.args, sample.kwargs))
            except Exception:
                continue            # what can't be rebuilt
            got = raised(lambda: find(op.name)(x, *args, **kwargs))
            if got is expected:
                same += 1
            else:
                wrong.append(f"{op.name} {number}: {expected.__name__}, here {got and got.__name__}")
    total = same + len(wrong)
    print(f"{same} of {total} error inputs raise PyTorch's type\n" + "\n".join(wrong))
    record_property("same", same)
    record_property("total", total)
    assert total > 500 and same >= SHARE * total
