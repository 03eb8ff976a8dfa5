"""Checkpoints that several processes write and another number of processes reads."""
# Functions run as programs of their own: see conftest for the names they find there.
# ruff: noqa: F821

import json

import pytest

import rushlight as torch
import rushlight.distributed.checkpoint as dcp
from rushlight.serialization import safetensors


def test_one_process(tmp_path):
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    metadata = dcp.save({"model": model, "optimizer": optimizer, "step": 5, "mixed": [torch.ones(2), {"a": "b"}]},
                        checkpoint_id=tmp_path)
    assert metadata.state_dict_metadata["model.weight"].size == (2, 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".metadata", "__0_0.safetensors"]
    assert json.loads((tmp_path / ".metadata").read_text())["contents"]["step"]["path"] == ["step"]
    stored = safetensors.load_file(str(tmp_path / "__0_0.safetensors"))
    assert any(torch.equal(t, model.weight) for t in stored.values() if t.shape == (2, 3))
    other = torch.nn.Linear(3, 2)
    again = torch.optim.SGD(other.parameters(), lr=0.5, momentum=0.9)
    other(torch.ones(1, 3)).sum().backward()
    again.step()
    found = {"model": other, "optimizer": again, "step": 0, "mixed": [torch.zeros(2), {"a": 0}]}
    dcp.load(found, checkpoint_id=str(tmp_path))
    assert torch.equal(other.weight, model.weight) and again.param_groups[0]["lr"] == 0.1
    assert found["step"] == 5 and found["mixed"][0].tolist() == [1, 1] and found["mixed"][1] == {"a": "b"}
    with pytest.raises(dcp.CheckpointException, match="Missing key in checkpoint state_dict: x"):
        dcp.load({"x": torch.ones(1)}, checkpoint_id=tmp_path)
    dcp.load({"x": torch.ones(1)}, checkpoint_id=tmp_path, planner=dcp.DefaultLoadPlanner(allow_partial_load=True))
    with pytest.raises(dcp.CheckpointException, match="Size mismatch"):
        dcp.load({"model": {"weight": torch.ones(3, 3)}}, checkpoint_id=tmp_path)
    future = dcp.async_save({"w": torch.ones(3)}, checkpoint_id=tmp_path / "later")
    future.result(20)
    dcp.load(target := {"w": torch.zeros(3)}, checkpoint_id=tmp_path / "later")
    assert target["w"].tolist() == [1, 1, 1]


def saving():
    import rushlight.distributed.checkpoint as dcp
    from rushlight.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
    from rushlight.distributed.fsdp import fully_shard
    begin()
    torch.manual_seed(0)
    model = fully_shard(nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2)))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        model(torch.ones(2, 3)).pow(2).sum().backward()
        optimizer.step()
        return [p.full_tensor() for p in model.parameters()]
    directory = rest[0]
    if size == 2:
        step()
        parts = get_state_dict(model, optimizer)
        dcp.save({"model": parts[0], "optimizer": parts[1], "same": torch.arange(4)}, checkpoint_id=directory)
        after = step()
        if rank == 0:
            torch.save(after, f"{directory}/after.pt")
        raises(BaseException, "differs between ranks", dcp.save, {"x": torch.ones(2) * rank}, checkpoint_id=directory)
    else:
        with torch.no_grad():
            for p in model.parameters():
                p.zero_()
        optimizer.zero_grad()
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
        parts = get_state_dict(model, optimizer)
        target = {"model": parts[0], "optimizer": parts[1], "same": torch.zeros(4, dtype=torch.int64)}
        dcp.load(target, checkpoint_id=directory)
        set_state_dict(model, optimizer, model_state_dict=target["model"], optim_state_dict=target["optimizer"])
        assert target["same"].tolist() == [0, 1, 2, 3]
        for a, b in zip(step(), torch.load(f"{directory}/after.pt")):
            torch.testing.assert_close(a, b)


def test_another_number_of_processes(processes, tmp_path):
    processes(saving, 2, args=[tmp_path])
    processes(saving, 1, args=[tmp_path])


def test_files_of_model_hubs(tmp_path):
    tensors = {"a.weight": torch.arange(6.).view(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}
    dcp.save(tensors, storage_writer=dcp.HuggingFaceStorageWriter(tmp_path, {"a.weight": 1, "b": 2}))
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 28 and index["weight_map"] == {
        "a.weight": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    assert torch.equal(safetensors.load_file(str(tmp_path / "model-00001-of-00002.safetensors"))["a.weight"],
                       tensors["a.weight"])
    found = {"a": {"weight": torch.zeros(2, 3)}, "b": torch.zeros(2)}
    dcp.load(found, storage_reader=dcp.HuggingFaceStorageReader(tmp_path))
    assert found["a"]["weight"].tolist() == [[0, 1, 2], [3, 4, 5]] and found["b"].tolist() == [1, 1]
    with pytest.raises(dcp.CheckpointException, match="cannot hold"):
        dcp.save({"x": 3}, storage_writer=dcp.HuggingFaceStorageWriter(tmp_path))
