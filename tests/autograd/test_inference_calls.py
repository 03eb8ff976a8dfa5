"""Generated functions in inference mode: they mark what they make, and share their plans with the other modes."""

import pytest

import rushlight as torch

F = torch.nn.functional


def results(x, w):
    """New tensors by generated functions of every kind, and views."""
    new = [x + 1, x * w, torch.relu(x), x.sum(), x.sum(1), x @ w, x.clone(), torch.cat([x, w]), torch.zeros(3),
           torch.zeros_like(x), x.softmax(1), x.cumsum(0), F.layer_norm(x, (4,)), F.max_pool2d(x[None], 2),
           x.topk(2)[0], F.mse_loss(x, w), torch.full((2,), 3.0), torch.rand(3), x.to(torch.float64),
           torch.linalg.inv(x)]
    return new, [x[0], x[:, 1:3], x.t(), x.view(16), x.reshape(2, 8), x.unsqueeze(0), x.detach(), x.chunk(2)[1]]


def test_new_tensors_are_marked_and_views_are_as_what_they_show():
    x, w = torch.eye(4) + 0.25, torch.eye(4) * 2
    plain = [t.tolist() for t in results(x, w)[0][:-4]]
    for _ in range(4):
        with torch.inference_mode():
            new, views = results(x, w)
            assert all(t.is_inference() for t in new)
            # Memory that was there before the mode belongs to plain tensors, detached ones are new objects on it.
            assert not any(t.is_inference() for t in views)
            assert all(t.is_inference() for t in results(x.clone(), w)[1])
            assert [t.tolist() for t in new[:-4]] == plain
        new, views = results(x, w)
        assert not any(t.is_inference() for t in (*new, *views))


def test_marked_tensors_stay_out_of_graphs():
    leaf = torch.ones(3, requires_grad=True)
    with torch.inference_mode():
        marked = torch.ones(3) * 2
        marked.add_(1)
        assert not (leaf * marked).requires_grad
        with torch.inference_mode(False):
            assert torch.is_grad_enabled() and (leaf * 2).requires_grad and not (leaf * 2).is_inference()
        assert torch.is_inference_mode_enabled() and (leaf + 1).is_inference()
    with pytest.raises(RuntimeError, match="[Ii]nference tensors cannot be saved for backward"):
        leaf * marked
    with pytest.raises(RuntimeError, match="outside InferenceMode"):
        marked.add_(1)
    assert torch.equal(marked + 1, torch.full((3,), 4.0)) and not (marked + 1).is_inference()


def test_modes_of_gradients_nest():
    x = torch.ones(2, requires_grad=True)
    with torch.set_grad_enabled(False):
        assert not (x * 2).requires_grad
        with torch.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
        with torch.inference_mode(), torch.enable_grad():
            assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    torch.set_grad_enabled(False)
    try:
        assert not (x * 2).requires_grad
    finally:
        torch.set_grad_enabled(True)
