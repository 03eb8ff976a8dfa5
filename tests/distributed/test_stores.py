"""Stores: what each operation does, waiting, and clients that come from other threads."""

import threading
from datetime import timedelta

import pytest

import rushlight.distributed as dist


@pytest.fixture(params=["hash", "file", "tcp", "prefix"])
def store(request, tmp_path):
    made = {"hash": dist.HashStore, "file": lambda: dist.FileStore(str(tmp_path / "store"), 1),
            "tcp": lambda: dist.TCPStore("127.0.0.1", 0, 1, True),
            "prefix": lambda: dist.PrefixStore("p", dist.TCPStore("127.0.0.1", 0, 1, True))}[request.param]()
    made.set_timeout(timedelta(seconds=0.05))
    return made


def test_values(store):
    store.set("a", "x")
    store.set("b", b"\x00\xff")
    assert (store.get("a"), store.get("b")) == (b"x", b"\x00\xff")
    assert store.check(["a", "b"]) and not store.check(["a", "z"]) and store.check([])
    assert store.num_keys() == 2 and sorted(store.list_keys()) == ["a", "b"]
    assert store.delete_key("a") and not store.delete_key("a")
    assert store.timeout == timedelta(seconds=0.05)
    with pytest.raises(TypeError):
        store.set("a", 1)


def test_numbers(store):
    assert (store.add("n", 3), store.add("n", -5), store.get("n")) == (3, -2, b"-2")
    store.set("text", "t")
    with pytest.raises(ValueError):
        store.add("text", 1)
    assert store.add("n", 1) == -1              # the store goes on after an error


def test_exchange(store):
    assert store.compare_set("k", "", "v") == b"v"
    assert store.compare_set("k", "w", "u") == b"v"
    assert store.compare_set("k", "v", "u") == b"u" == store.get("k")
    assert store.compare_set("missing", "w", "u") == b"w" and not store.check(["missing"])


def test_several(store):
    store.append("a", "x")
    store.append("a", b"y")
    store.multi_set(["m", "n"], ["1", b"2"])
    assert store.multi_get(["m", "a", "n"]) == [b"1", b"xy", b"2"]
    with pytest.raises(ValueError):
        store.multi_set(["m"], [])


def test_waiting_ends(store):
    store.set("a", "x")
    store.wait(["a"])
    with pytest.raises(dist.DistStoreError):
        store.get("never")
    with pytest.raises(dist.DistStoreError):
        store.wait(["a", "never"], timedelta(seconds=0.01))
    store.barrier("all", 1)


def test_waiting_is_answered(store):
    store.set_timeout(timedelta(seconds=20))
    other = store.clone()
    found = []
    thread = threading.Thread(target=lambda: found.append(other.get("late")))
    thread.start()
    store.set("late", "now")
    thread.join(10)
    assert found == [b"now"]


@pytest.mark.parametrize("make", [dist.HashStore, lambda: dist.TCPStore("127.0.0.1", 0, 1, True)])
def test_queues(make):
    store = make()
    store.set_timeout(timedelta(seconds=0.05))
    store.queue_push("q", "1")
    store.queue_push("q", b"2")
    assert (store.queue_len("q"), store.queue_pop("q"), store.queue_pop("q")) == (2, b"1", b"2")
    assert store.queue_len("q") == 0
    with pytest.raises(dist.QueueEmptyError):
        store.queue_pop("q", block=False)
    with pytest.raises(dist.DistStoreError):
        store.queue_pop("q")


def test_adding_from_threads():
    store = dist.TCPStore("127.0.0.1", 0, None, True)

    def add(client):
        for _ in range(50):
            client.add("n", 1)
    threads = [threading.Thread(target=add, args=(store.clone(),)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert store.add("n", 0) == 200


def test_files_are_shared_and_removed(tmp_path):
    path = tmp_path / "store"
    one, two = dist.FileStore(str(path), 2), dist.FileStore(str(path), 2)
    one.set("k", "v")
    assert two.get("k") == b"v" and two.num_keys() == 1
    del one
    assert path.exists()
    del two
    assert not path.exists()


def test_nobody_listens():
    server = dist.TCPStore("127.0.0.1", 0, None, True)
    with pytest.raises(dist.DistNetworkError):
        dist.TCPStore("127.0.0.1", server.port, None, True)     # taken
    port = server.port
    del server
    with pytest.raises(dist.DistNetworkError, match="timed out after 200ms"):
        dist.TCPStore("127.0.0.1", port, None, False, timedelta(seconds=0.2))
    with pytest.raises(dist.DistStoreError, match="1/2 clients joined"):
        dist.TCPStore("127.0.0.1", 0, 2, True, timedelta(seconds=0.1))


def test_a_server_that_ends():
    store = dist.TCPStore("127.0.0.1", 0, None, True)
    client = store.clone()
    store._server.close()
    with pytest.raises(dist.DistNetworkError):
        client.get("a")


def test_a_stranger_does_no_harm():
    import socket
    store = dist.TCPStore("127.0.0.1", 0, None, True)
    with socket.create_connection(("127.0.0.1", store.port)) as s:
        s.sendall(b"\xff" * 200)
        s.settimeout(5)
        try:
            s.recv(10)
        except OSError:
            pass
    store.set("a", "b")
    assert store.get("a") == b"b"


@pytest.mark.parametrize("url, kwargs, words", [
    ("tcp://127.0.0.1", {"rank": 0}, "port number missing"), ("tcp://127.0.0.1:1", {"world_size": 1}, "rank parameter"),
    ("file://", {"rank": 0}, "path missing"), ("file:///tmp/x", {"rank": 0}, "world size parameter")])
def test_incomplete_urls(url, kwargs, words):
    with pytest.raises(ValueError, match=words):
        next(dist.rendezvous(url, **kwargs))


def test_rendezvous(monkeypatch, tmp_path):
    with pytest.raises(RuntimeError, match="No rendezvous handler for foo"):
        dist.rendezvous("foo://x")
    with pytest.raises(RuntimeError, match="already registered"):
        dist.register_rendezvous_handler("tcp", None)
    store, rank, size = next(dist.rendezvous(f"file://{tmp_path}/s?rank=2&world_size=3"))
    assert (rank, size, store.path) == (2, 3, f"{tmp_path}/s")
    for name in ("MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="environment variable RANK expected"):
        next(dist.rendezvous("env://"))
    with pytest.raises(ValueError, match="environment variable MASTER_ADDR expected"):
        next(dist.rendezvous("env://", 0, 1))
