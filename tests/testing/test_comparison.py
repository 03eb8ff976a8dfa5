"""assert_close: what agrees, what the error says, and what can't be compared."""

import numpy as np
import pytest

import rushlight as torch

T, close = torch.tensor, torch.testing.assert_close
nan, inf = float("nan"), float("inf")


def message(*args, **kwargs):
    with pytest.raises(AssertionError) as caught:
        close(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("actual,expected,options", [
    (T([1.0, 2.0]), T([1.0, 2.000002]), {}), (T([1, 2]), T([1.0, 2.0]), {"check_dtype": False}),
    (T([nan]), T([nan]), {"equal_nan": True}), (nan, nan, {"equal_nan": True}), (None, None, {}),
    ([T(1.0), {"a": 2}], [T(1.0), {"a": 2}], {}), ((1, 2), [1, 2], {}), (T([inf]), T([inf]), {}),
    (torch.ones(3).bfloat16(), torch.ones(3).bfloat16() * 1.01, {}), (1, 1.0, {"check_dtype": False}),
    (torch.ones(3, device="meta"), torch.zeros(3, device="meta"), {}), (np.ones(2), np.ones(2), {}),
    (np.float32(1), 1.0, {}), (torch.nn.Parameter(T([1.0])), T([1.0]), {}), ([], [], {}),
    (T([1.0]), T([1.1]), {"rtol": 0.2, "atol": 0}), (torch.empty(0), torch.empty(0), {}),
])
def test_agreement(actual, expected, options):
    assert close(actual, expected, **options) is None


def test_messages_of_tensors():
    assert message(T([1.0, 2.0]), T([1.0, 2.1])) == (
        "Tensor-likes are not close!\n\nMismatched elements: 1 / 2 (50.0%)\n"
        "Greatest absolute difference: 0.09999990463256836 at index (1,) (up to 1e-05 allowed)\n"
        "Greatest relative difference: 0.04761900380253792 at index (1,) (up to 1.3e-06 allowed)")
    assert message(T([[1, 2], [3, 4]]), T([[1, 2], [9, 4]])) == (
        "Tensor-likes are not equal!\n\nMismatched elements: 1 / 4 (25.0%)\n"
        "Greatest absolute difference: 6 at index (1, 0)\n"
        "Greatest relative difference: 0.6666666865348816 at index (1, 0)")
    assert message(T([255], dtype=torch.uint8), T([0], dtype=torch.uint8)).endswith(
        "Greatest absolute difference: 255 at index (0,)\nGreatest relative difference: inf at index (0,)")
    assert "nan at index (0,)" in message(T([nan]), T([nan]))


def test_messages_of_numbers():
    assert message(1.0, 1.1) == (
        "Scalars are not close!\n\nExpected 1.1 but got 1.0.\n"
        "Absolute difference: 0.10000000000000009 (up to 1e-07 allowed)\n"
        "Relative difference: 0.09090909090909098 (up to 1e-07 allowed)")
    assert message(1, 2) == ("Scalars are not equal!\n\nExpected 2 but got 1.\nAbsolute difference: 1\n"
                             "Relative difference: 0.5")
    assert message(True, False) == "Booleans mismatch: True is not False"
    assert message(None, 1.0) == "None mismatch: None is not 1.0"
    assert message(1.0, 1) == "The (d)types do not match: <class 'float'> != <class 'int'>."
    assert message(T(1.0), T(1.5)).startswith("Scalars are not close!\n\nExpected 1.5 but got 1.0.")


def test_messages_of_attributes():
    ones = torch.ones(2, 3)
    assert message(ones, torch.ones(3)) == \
        "The values for attribute 'shape' do not match: torch.Size([2, 3]) != torch.Size([3])."
    assert message(ones, ones.double()) == \
        "The values for attribute 'dtype' do not match: torch.float32 != torch.float64."
    assert message(ones, torch.ones(3, 2).t(), check_stride=True) == \
        "The values for attribute 'stride()' do not match: (3, 1) != (1, 2)."
    assert message(ones.to("meta"), ones) == "The values for attribute 'device' do not match: meta != cpu."


def test_collections():
    assert message({"a": [T(1.0), T([2.0])]}, {"a": [T(1.0), T([4.0])]}).endswith(
        "\n\nThe failure occurred for item ['a'][1]")
    assert message([1.0], [1.0, 2.0]) == "The length of the sequences mismatch: 1 != 2"
    assert message({"a": 1}, {"b": 1}) == ("The keys of the mappings do not match:\nMissing keys in the actual "
                                           "mapping: ['b']\nAdditional keys in the actual mapping: ['a']")


def test_own_messages():
    assert message(T([1.0]), T([2.0]), msg="mine") == "mine"
    assert message([1.0], [2.0], msg=lambda m: "first: " + m).startswith("first: Scalars are not close!")


def test_what_cannot_be_compared():
    for a, b in (("a", "a"), (T([1.0]), [1.0]), (np.ones(1), T([1.0])), (object(), object())):
        with pytest.raises(TypeError, match="No comparison pair was able to handle inputs of type"):
            close(a, b)
    with pytest.raises(TypeError):
        close(torch.nn.Parameter(T([1.0])), T([1.0]), allow_subclasses=False)
    with pytest.raises(ValueError, match="Both 'rtol' and 'atol' must be either specified or omitted"):
        close(1.0, 1.0, rtol=0.1)


def test_assert_allclose():
    with pytest.warns(FutureWarning):
        torch.testing.assert_allclose(T([1.0]), np.array([1.00005]))
    with pytest.warns(FutureWarning), pytest.raises(AssertionError, match="up to 0.0001 allowed"):
        torch.testing.assert_allclose(T([1.0]), [1.1])
