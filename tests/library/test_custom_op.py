"""custom_op: calls, gradients, shapes without data, writes, kernels by device, autocast, compilation, checks."""

import itertools

import numpy as np
import pytest

import rushlight as torch
from rushlight import Tensor

names = (f"tests_custom::op{i}" for i in itertools.count())


def make_square():
    @torch.library.custom_op(next(names), mutates_args=())
    def square(x: Tensor, k: float = 2.0) -> Tensor:
        return torch.from_numpy(x.numpy() ** 2 * np.float32(k))

    def setup(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])
        ctx.k = inputs[1]
    square.register_autograd(lambda ctx, g: (2 * g * ctx.saved_tensors[0] * ctx.k, None), setup_context=setup)
    square.register_fake(lambda x, k=2.0: torch.empty_like(x))
    return square


def test_calls():
    square = make_square()
    packet = getattr(torch.ops.tests_custom, square._name)
    x = torch.tensor([1.0, 3.0])
    for call in (square, packet, packet.default):
        assert torch.equal(call(x), torch.tensor([2.0, 18.0])) and torch.equal(call(x, k=1.0), x * x)
    assert str(packet.default._schema) == f"{square._qualname}(Tensor x, float k=2.) -> Tensor"
    assert repr(packet.default) == f"<OpOverload(op='tests_custom.{square._name}', overload='default')>"
    for args, kwargs, text in (((), {}, "missing value for argument 'x'"), ((3,), {}, "instead found type 'int'"),
                               ((x, 1.0, 2), {}, "at most 2 argument"), ((x,), {"z": 1}, "Unknown keyword argument")):
        with pytest.raises(RuntimeError, match=text):
            square(*args, **kwargs)


def test_gradient():
    square = make_square()
    x = torch.tensor([1.0, 3.0], requires_grad=True)
    y = square(x)
    assert type(y.grad_fn).__name__.startswith("GeneratedBackwardFor_tests_custom_op")
    y.sum().backward()
    assert torch.equal(x.grad, 4 * x.detach())
    assert not square(x.detach()).requires_grad


def test_without_a_gradient_backward_says_so():
    @torch.library.custom_op(next(names), mutates_args=())
    def plain(x: Tensor) -> Tensor:
        return x * 2
    y = plain(torch.ones(2, requires_grad=True))
    assert y.requires_grad
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        y.sum().backward()


def test_gradients_of_lists_and_of_several_results():
    @torch.library.custom_op(next(names), mutates_args=())
    def twice(xs: list[Tensor], y: Tensor | None) -> list[Tensor]:
        return [2 * x for x in xs]
    twice.register_autograd(lambda ctx, grads: ([2 * g for g in grads], None))
    a, b = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    p, q = twice([a, b], None)
    (p.sum() + 3 * q.sum()).backward()
    assert a.grad.tolist() == [2.0] * 2 and b.grad.tolist() == [6.0] * 3


def test_keyword_only_inputs_reach_the_context():
    seen = {}

    @torch.library.custom_op(next(names), mutates_args=())
    def scaled(x: Tensor, *, by: float = 2.0) -> Tensor:
        return x * by

    def setup(ctx, inputs, keyword_only_inputs, output):
        seen.update(keyword_only_inputs)
        ctx.by = keyword_only_inputs["by"]
    scaled.register_autograd(lambda ctx, g: g * ctx.by, setup_context=setup)
    x = torch.ones(2, requires_grad=True)
    scaled(x, by=3.0).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0] and seen == {"by": 3.0}


def test_tensors_without_data():
    square = make_square()
    assert square(torch.ones(3, device="meta")).shape == (3,)

    @torch.library.custom_op(next(names), mutates_args=())
    def bare(x: Tensor) -> Tensor:
        return x.clone()
    with pytest.raises(RuntimeError, match="There was no fake impl registered"):
        bare(torch.ones(2, device="meta"))


def test_writing_to_arguments():
    @torch.library.custom_op(next(names), mutates_args={"out"})
    def put(x: Tensor, out: Tensor) -> None:
        out.copy_(x)
    out = torch.zeros(2)
    version = out._version
    assert put(torch.ones(2), out) is None
    assert out.tolist() == [1.0, 1.0] and out._version > version
    with pytest.raises(RuntimeError, match="Cannot register autograd formula for non-functional"):
        put.register_autograd(lambda ctx, g: g)


def test_results_are_new_memory():
    @torch.library.custom_op(next(names), mutates_args=())
    def same(x: Tensor) -> Tensor:
        return x.view(-1)
    with pytest.raises(RuntimeError, match="may not alias any inputs"):
        same(torch.ones(2))


def test_kernels_by_device():
    square = make_square()
    square.register_kernel("cpu", lambda x, k=2.0: x * 100)
    assert square(torch.ones(1)).item() == 100.0
    with square.set_kernel_enabled("cpu", False):
        assert square(torch.ones(1)).item() == 2.0
    assert square(torch.ones(1)).item() == 100.0


def test_autocast():
    @torch.library.custom_op(next(names), mutates_args=())
    def same(x: Tensor) -> Tensor:
        return x.clone()
    same.register_autocast("cpu", torch.float32)
    x = torch.ones(2, dtype=torch.float16)
    with torch.autocast("cpu"):
        assert same(x).dtype is torch.float32
    assert same(x).dtype is torch.float16


def test_batching_rule():
    square, seen = make_square(), []

    @square.register_vmap
    def rule(info, in_dims, x, k=2.0):
        seen.append((info.batch_size, in_dims))
        return square(x, k), in_dims[0]
    x = torch.arange(6.0).reshape(2, 3)
    assert torch.equal(torch.vmap(square)(x), 2 * x * x)
    assert torch.equal(torch.vmap(square, in_dims=1, out_dims=1)(x), 2 * x * x)
    assert seen == [(2, (0, None)), (3, (0, None))]


@pytest.mark.filterwarnings("ignore:compile")
def test_compiled():
    square = make_square()
    f = torch.compile(lambda x: square(x).sum() * 2)
    for k in (1.0, 2.0, 3.0):
        x = torch.full((3,), k, requires_grad=True)
        f(x).backward()
        assert torch.equal(x.grad, torch.full((3,), 8 * k))


def test_opcheck():
    square = make_square()
    result = torch.library.opcheck(square, (torch.randn(3, requires_grad=True),))
    assert set(result.values()) == {"SUCCESS"} and len(result) == 4
    square.register_fake(lambda x, k=2.0: torch.empty(1, device="meta"))
    with pytest.raises(torch.library.checks.OpCheckError, match="test_faketensor failed"):
        torch.library.opcheck(square, (torch.randn(3),))

    @torch.library.custom_op(next(names), mutates_args=())
    def sly(x: Tensor) -> Tensor:
        x.add_(1)
        return x.clone()
    found = torch.library.opcheck(sly, (torch.randn(3),), test_utils="test_schema", raise_exception=False)
    assert "not defined as mutable" in str(found["test_schema"])


@pytest.mark.parametrize("annotations,returned,mutates,expected", [
    ({"x": Tensor}, Tensor, (), "(Tensor x) -> Tensor"),
    ({"x": Tensor, "y": "list[int]", "z": "int | None"}, None, ("x",),
     "(Tensor(a0!) x, SymInt[] y, SymInt? z) -> ()"),
    ({"xs": list[Tensor | None], "d": torch.dtype, "e": torch.device}, tuple[Tensor, int], (),
     "(Tensor?[] xs, ScalarType d, Device e) -> (Tensor, SymInt)"),
    ({"x": Tensor, "s": int | float | bool}, list[Tensor], "unknown", "(Tensor(a0!) x, Scalar s) -> Tensor[]"),
])
def test_inferred_schemas(annotations, returned, mutates, expected):
    f = eval(f"lambda {', '.join(annotations)}: None")
    f.__annotations__ = {**annotations, "return": returned}
    assert torch.library.infer_schema(f, mutates_args=mutates) == expected


def test_annotations_without_a_counterpart():
    def no_type(x) -> Tensor: ...
    def a_dict(x: dict) -> Tensor: ...
    def many(*x: Tensor) -> Tensor: ...
    def no_return(x: Tensor): ...
    def a_default(x: Tensor, k: list[int] = (1,)) -> Tensor: ...
    for f, text in ((no_type, "must have a type annotation"), (a_dict, "unsupported type"), (many, "varargs"),
                    (no_return, "No return type annotation"), (a_default, "unsupported default value")):
        with pytest.raises(ValueError, match=text):
            torch.library.infer_schema(f, mutates_args=())
