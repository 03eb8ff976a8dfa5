"""Library, define, impl, and torch.ops."""

import pickle

import pytest

import rushlight as torch


@pytest.fixture
def library():
    made = torch.library.Library("tests_library", "FRAGMENT")
    yield made
    made._destroy()


def test_define_and_impl(library):
    assert library.define("scale(Tensor x, int k=3) -> Tensor") == "scale"
    with pytest.raises(NotImplementedError, match="Could not run 'tests_library::scale'"):
        torch.ops.tests_library.scale(torch.ones(2))

    @torch.library.impl(library, "scale", "CPU")
    def scale(x, k=3):
        return x * k
    assert torch.ops.tests_library.scale(torch.ones(2)).tolist() == [3.0, 3.0]
    assert torch.ops.tests_library.scale(torch.ones(2), k=5).tolist() == [5.0, 5.0]
    with pytest.raises(RuntimeError, match="same name and overload name multiple times"):
        library.define("scale(Tensor x) -> Tensor")
    with pytest.raises(RuntimeError, match="does not exist"):
        library.impl("nothing", lambda x: x, "CPU")
    with pytest.raises(RuntimeError, match="expected a schema"):
        library.define("bad(")


def test_a_composition_keeps_gradients(library):
    library.define("half(Tensor x) -> Tensor")
    library.impl("half", lambda x: x / 2, "CompositeImplicitAutograd")
    x = torch.ones(2, requires_grad=True)
    torch.ops.tests_library.half(x).sum().backward()
    assert x.grad.tolist() == [0.5, 0.5]


def test_overloads(library):
    library.define("join.two(Tensor x, Tensor y) -> Tensor")
    library.define("join.number(Tensor x, float y) -> Tensor")
    library.impl("join.two", lambda x, y: x + y, "CPU")
    library.impl("join.number", lambda x, y: x - y, "CPU")
    join, x = torch.ops.tests_library.join, torch.ones(1)
    assert join(x, x).item() == 2.0 and join(x, 3.0).item() == -2.0
    assert join.overloads() == ["two", "number"] and join.two.name() == "tests_library::join.two"
    with pytest.raises(AttributeError, match="has no overload name 'three'"):
        join.three


def test_functions_of_the_module():
    torch.library.define("tests_library_2::sin", "(Tensor x) -> Tensor")
    torch.library.impl("tests_library_2::sin", "cpu", lambda x: x.sin())
    torch.library.register_fake("tests_library_2::sin", lambda x: torch.empty_like(x))
    torch.library.register_autograd("tests_library_2::sin", lambda ctx, g: g * ctx.saved_tensors[0].cos(),
                                    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs))
    x = torch.ones(1, requires_grad=True)
    torch.ops.tests_library_2.sin(x).backward()
    assert torch.equal(x.grad, x.detach().cos())
    assert torch.ops.tests_library_2.sin(torch.ones(3, device="meta")).shape == (3,)


def test_kinds_and_names():
    with pytest.raises(ValueError, match="Unsupported kind"):
        torch.library.Library("tests_library", "XX")
    with pytest.raises(RuntimeError, match="Only a single TORCH_LIBRARY"):
        torch.library.Library("aten", "DEF")
    with pytest.raises(AttributeError, match="'_OpNamespace' 'nowhere' object has no attribute 'f'"):
        torch.ops.nowhere.f


def test_aten():
    aten, x = torch.ops.aten, torch.ones(2, 2)
    assert torch.equal(aten.add.Tensor(x, x, alpha=3), 4 * x) and torch.equal(aten.mm(x, x), x @ x)
    assert torch.equal(aten.sum.dim_IntList(x, [1]), torch.full((2,), 2.0))
    assert torch.equal(aten._softmax.default(x, 0, False), torch.full((2, 2), 0.5))
    assert torch.equal(aten.slice.Tensor(x, 0, 1, 2), x[1:]) and aten.view.default(x, [4]).shape == (4,)
    assert torch.equal(aten.linalg_inv_ex(2 * torch.eye(2))[0], torch.eye(2) / 2)
    assert str(aten.mm.default._schema) == "aten::mm(Tensor self, Tensor mat2) -> Tensor"
    assert (str(aten.mm), repr(aten.mm), aten.mm.default.name()) == (
        "aten.mm", "<OpOverloadPacket(op='aten.mm')>", "aten::mm")
    assert aten.mm is torch.ops.aten.mm and pickle.loads(pickle.dumps(aten.mm.default)) is aten.mm.default
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        aten.nothing
