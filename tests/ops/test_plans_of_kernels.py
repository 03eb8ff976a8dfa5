"""Plans that call records' kernels as a whole, know contents, ask about contents and mark nodes."""

import warnings

import numpy as np
import pytest

import rushlight as torch
from rushlight.ops.native import observing, plans

F = torch.nn.functional
pytestmark = pytest.mark.usefixtures("generated_functions")


def ready(name):
    """How many plans of functions of this name serve."""
    return sum(plan[plan[0] + 1] == plans.READY for p in observing._functions.values() if p.fn.__name__ == name
               for plan in p.plans.values())


def x_(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def test_names_of_keywords_need_not_be_in_one_tuple():
    x, options = x_(3, 5), {"descending": True, "dim": 1}
    before = ready("sort")
    for n in range(40):
        values, _ = torch.sort(x, **dict(options))
        assert (values.diff(dim=1) <= 0).all()
    assert ready("sort") - before <= 1


def test_kernels_as_a_whole_follow_contents():
    for seed in range(6):
        a = x_(3, 3, seed=seed)
        spd = a @ a.t() + torch.eye(3) * 3
        low = torch.linalg.cholesky(spd)
        np.testing.assert_allclose((low @ low.t()).numpy(), spd.numpy(), rtol=1e-5)
        q, r = torch.linalg.qr(a)
        np.testing.assert_allclose((q @ r).numpy(), a.numpy(), atol=1e-5)
        np.testing.assert_allclose(torch.linalg.cross(a, spd).numpy(), np.cross(a.numpy(), spd.numpy()), atol=1e-5)
        assert F.channel_shuffle(x_(1, 4, 2, seed=seed), 2)[0, 1, 0] == x_(1, 4, 2, seed=seed)[0, 2, 0]
        assert not F.channel_shuffle(x_(1, 4, 2), 2)._is_view()
    assert ready("linalg_cholesky") and ready("linalg_qr_") and ready("channel_shuffle")


def test_what_contents_decide_is_asked_each_time():
    good, bad = torch.eye(3) * 2, -torch.eye(3)
    for _ in range(5):
        assert torch.linalg.cholesky(good)[0, 0] == 2 ** 0.5 or torch.linalg.cholesky(good)[0, 0] > 1.4
        with pytest.raises(torch.linalg.LinAlgError):
            torch.linalg.cholesky(bad)
        assert torch.allclose(good, good.clone()) and not torch.allclose(good, bad)
        assert torch.argwhere(good > 1).shape == (3, 2) and torch.argwhere(bad > -2).shape == (9, 2)
        assert torch.argwhere(good > 5).shape == (0, 2)
        assert torch.masked_select(good, good > 1).tolist() == [2, 2, 2]
        assert torch.masked_select(good, good < 1).numel() == 6


def test_known_contents_are_new_memory_each_time():
    made = [torch.eye(3) for _ in range(5)]       # (by kernels on memory of its own: stays in Python)
    made[-1].zero_()
    assert all(torch.equal(t, torch.eye(3)) for t in made[:-1])
    window = [torch.hann_window(8) for _ in range(4)]
    assert ready("hann_window") and torch.equal(window[0], window[3]) and window[0].data_ptr() != window[3].data_ptr()


def test_warnings_come_with_every_call():
    for _ in range(5):
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            F.mse_loss(x_(2, 1), x_(2))
        assert len(heard) == 1 and "broadcasting" in str(heard[0].message)


def test_cross_entropy_keeps_its_short_way_back():
    target = torch.tensor([1, 0, 3])
    for seed in range(5):
        x = x_(3, 4, seed=seed).requires_grad_()
        loss = F.cross_entropy(x, target)
        assert loss.grad_fn.fused
        loss.backward()
        want = x.detach().softmax(1) - F.one_hot(target, 4)
        np.testing.assert_allclose(x.grad.numpy(), (want / 3).numpy(), atol=1e-6)
        y = x.detach().clone().requires_grad_()
        F.nll_loss(F.log_softmax(y, 1), target, ignore_index=3).backward()
        want[2] = 0
        np.testing.assert_allclose(y.grad.numpy(), (want / 2).numpy(), atol=1e-6)
    assert ready("cross_entropy")


def test_lazy_conjugates_and_places_in_storages_are_kept():
    base = torch.arange(12.0)
    for k in range(5):
        assert torch.fft.ihfft(base).is_conj()
        assert base[k:].as_strided((2,), (1,)).tolist() == [k, k + 1]
        assert torch.as_strided(base[k:], (2,), (3,), 1).tolist() == [1, 4]
    for a, b in ((base[:3], base[3:6]), (base[:3].clone(), base[3:6].clone()), (base[:3], base[:3])):
        for _ in range(3):
            assert torch.einsum("i,j->ij", a, b).tolist() == np.outer(a.numpy(), b.numpy()).tolist()
