"""Worker processes: seeds, order, transfer, failures, deaths, endings. Seeds are PyTorch 2.13's."""

import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import samples
from samples import Images, Misbehaving, Numbers, Stream, WorkerFacts

import rushlight as torch
from rushlight.utils.data import DataLoader

HERE = os.path.dirname(__file__)


def lists(loader):
    return [batch.tolist() for batch in loader]


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("options", [{}, {"prefetch_factor": 1}, {"persistent_workers": True}])
def test_order_is_the_samplers(options):
    loader = DataLoader(Numbers(23), 3, num_workers=2, **options)
    for _ in range(2):
        assert sum(lists(loader), []) == list(range(23))


def test_out_of_order_gives_every_batch_once():
    loader = DataLoader(Numbers(40), 3, num_workers=2, in_order=False)
    assert sorted(sum(lists(loader), [])) == list(range(40))


def test_seeds_are_pytorchs():
    torch.manual_seed(3)
    first, second, _ = DataLoader(WorkerFacts(), 2, num_workers=2)
    ids, count, seed, torch_seed, python, array, drawn, threads = first
    assert ids.tolist() == [0, 0] and count.tolist() == [2, 2]
    assert seed.tolist() == torch_seed.tolist() == [937055941807507096] * 2
    assert array[0].item() == 0.8794862824005928
    assert [round(x, 4) for x in python.tolist()] == [0.2179, 0.5236]
    assert [round(x, 4) for x in drawn.tolist()] == [0.2876, 0.6863]
    assert threads.tolist() == [1, 1]
    assert second[2].tolist() == [937055941807507097] * 2
    assert second[5][0].item() == 0.13554665930590137


def test_large_batches_arrive_whole_and_writable():
    kept = []
    for images, arrays, rest in DataLoader(Images(12), 2, num_workers=2):
        images.add_(0)
        kept.append((images, arrays, rest))
    for n, (images, arrays, rest) in enumerate(kept):
        assert images.shape == (2, 3, 64, 64) and arrays.dtype == torch.int64
        for k in range(2):
            assert (images[k] == 2 * n + k).all() and (arrays[k] == 2 * n + k).all()
        assert rest["label"].tolist() == [2 * n, 2 * n + 1]
        assert rest["name"] == [str(2 * n), str(2 * n + 1)]


def test_blocks_are_reused_once_batches_are_gone_and_nothing_is_left():
    before = open_descriptors()
    loader = DataLoader(Images(40), 2, num_workers=1)
    iterator = iter(loader)
    for images, _, _ in iterator:
        del images
    assert len(iterator._workers[0].blocks._maps) <= 4
    del iterator
    gc.collect()
    assert open_descriptors() <= before + 1


def test_numpy_text_and_layout_survive_the_transfer():
    (out,) = DataLoader(samples.Mixed(), None, num_workers=1, collate_fn=samples.as_is)
    assert np.array_equal(out["array"], np.arange(10000.).reshape(100, 100).T)
    assert out["text"] == "x" * 100000 and out["none"] is None
    assert out["bf16"].dtype == torch.bfloat16 and out["bf16"].float().sum().item() == 20000
    assert out["empty"].shape == (0, 3) and out["scalar"].item() == 3.5
    assert out["cols"].stride() == (1, 200)
    assert torch.equal(out["cols"], torch.arange(20000).reshape(100, 200).t())
    assert isinstance(out["parameter"], torch.nn.Parameter)


def test_streams_end_worker_by_worker():
    loader = DataLoader(Stream(), 2, num_workers=2)
    assert lists(loader) == [[0, 1], [10, 11], [2, 3], [12], [4]]
    assert list(DataLoader(Stream(), None, num_workers=2)) == [0, 10, 1, 11, 2, 12, 3, 4]
    persistent = DataLoader(Stream(), 2, num_workers=2, persistent_workers=True)
    assert lists(persistent) == lists(persistent) == lists(loader)


@pytest.mark.parametrize("deed, kind, name", [
    ("value_error", ValueError, "ValueError"), ("key_error", KeyError, "KeyError"),
    ("local_error", RuntimeError, "LocalError")])
def test_errors_come_with_their_own_type_and_traceback(deed, kind, name):
    with pytest.raises(kind) as caught:
        list(DataLoader(Misbehaving(deed), 2, num_workers=2))
    text = str(caught.value)
    assert text.startswith(f"Caught {name} in DataLoader worker process 1.\n"
                           "Original Traceback (most recent call last):")
    assert f"in {deed}" in text


def test_a_pass_goes_on_after_an_error():
    iterator = iter(DataLoader(Misbehaving("value_error"), 2, num_workers=2))
    assert next(iterator).tolist() == [0, 1]
    with pytest.raises(ValueError):
        next(iterator)
    assert next(iterator).tolist() == [4, 5]


def test_worker_init_fn_runs_and_its_failure_is_told(capfd):
    with pytest.raises(ValueError, match="worker does not start"):
        list(DataLoader(Numbers(), num_workers=1, worker_init_fn=samples.failing_start))


@pytest.mark.parametrize("deed, message", [
    ("leave", r"exited unexpectedly with exit code 3"),
    ("get_killed", r"is killed by signal: Killed \(SIGKILL\)")])
def test_deaths_are_told(deed, message):
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=rf"DataLoader worker \(pid \d+\) {message}"):
        list(DataLoader(Misbehaving(deed), 2, num_workers=2))
    assert time.monotonic() - start < 10


def test_timeout():
    start = time.monotonic()
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.5 seconds"):
        list(DataLoader(Misbehaving("dawdle"), 2, num_workers=1, timeout=0.5))
    assert time.monotonic() - start < 10


def test_leaving_a_pass_early_ends_the_workers():
    iterator = iter(DataLoader(Images(100), 2, num_workers=2))
    next(iterator)
    processes = [worker.process for worker in iterator._workers]
    del iterator
    gc.collect()
    assert not any(process.is_alive() for process in processes)


def test_batches_that_can_not_be_sent_are_errors_not_hangs():
    with pytest.raises((AttributeError, pickle.PicklingError), match="[Cc]an't (get|pickle) local"):
        list(DataLoader(Numbers(), 2, num_workers=1, collate_fn=samples.function_batch))


def test_gradients_do_not_cross():
    with pytest.raises(RuntimeError, match="non-leaf tensor which requires_grad"):
        list(DataLoader(samples.Graph(), 2, num_workers=1))


def test_spawn_needs_picklable_parts_and_says_which():
    with pytest.raises(pickle.PicklingError, match="can't send its dataset .Unpicklable."):
        list(DataLoader(samples.Unpicklable(), num_workers=1, multiprocessing_context="spawn"))


def test_spawned_workers(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    loader = DataLoader(Images(4), 2, num_workers=1, multiprocessing_context="spawn")
    batches = list(loader)
    assert len(batches) == 2 and (batches[1][0][1] == 3).all()


def run_script(body, **kwargs):
    text = f"import sys; sys.path.insert(0, {HERE!r})\n" + textwrap.dedent(body)
    return subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **kwargs)


LONG_RUN = """
    from samples import Images
    from rushlight.utils.data import DataLoader
    import time
    iterator = iter(DataLoader(Images(100000), 2, num_workers=2))
    next(iterator)
    print(*[w.process.pid for w in iterator._workers], flush=True)
    for _ in iterator:
        time.sleep(0.01)
"""


THREADS = """
    import threading
    from samples import Numbers
    from rushlight.utils.data import DataLoader
    sums = []
    def run():
        sums.append(sum(batch.sum().item() for batch in DataLoader(Numbers(20), 3, num_workers=1)))
    threads = [threading.Thread(target=run) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    print(sums)
"""


def test_loaders_in_several_threads():
    out, errors = run_script(THREADS).communicate(timeout=50)
    assert out.strip() == "[190, 190, 190, 190]", errors


def test_a_grandchild_that_lives_on_does_not_hide_a_death():
    with pytest.raises(RuntimeError, match="exit code 5"):
        list(DataLoader(samples.Forking(), 2, num_workers=1))


def wait_gone(pids, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        alive = [pid for pid in pids if os.path.exists(f"/proc/{pid}") and
                 open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z"]
        if not alive:
            return True
        time.sleep(0.1)
    return False


def test_interrupt_stops_everything():
    process = run_script(LONG_RUN, start_new_session=True)
    pids = [int(pid) for pid in process.stdout.readline().split()]
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode != 0 and "KeyboardInterrupt" in errors
    assert errors.count("Traceback") == 1
    assert wait_gone(pids, 5)


def test_workers_end_when_the_loader_is_killed():
    process = run_script(LONG_RUN, start_new_session=True)
    pids = [int(pid) for pid in process.stdout.readline().split()]
    process.kill()
    process.communicate(timeout=20)
    assert wait_gone(pids, 10)
