"""How processes meet: from a URL to a store, a rank and the number of processes."""

import os
from urllib.parse import parse_qsl, urlsplit

from .constants import STORE_TIMEOUT
from .file_store import FileStore
from .tcp_store import TCPStore

_handlers = {}


def register_rendezvous_handler(scheme, handler):
    """Have URLs of `scheme` answered by ``handler(url, **kwargs)``, a generator of (store, rank, world size).

    RuntimeError when the scheme has a handler.
    """
    if scheme in _handlers:
        raise RuntimeError(f"Rendezvous handler for {scheme}:// already registered")
    _handlers[scheme] = handler


def rendezvous(url, rank=-1, world_size=-1, **kwargs):
    """The generator of (store, rank, world size) that the handler of the URL's scheme gives.

    `rank` and `world_size` stand in for those that the URL does not name.
    """
    if not isinstance(url, (str, bytes)):
        raise RuntimeError(f"`url` must be a string. {type(url)}: {url}")
    parts = urlsplit(url)
    if parts.scheme not in _handlers:
        raise RuntimeError(f"No rendezvous handler for {parts.scheme}://")
    query = dict(parse_qsl(parts.query))
    for name, value in (("rank", rank), ("world_size", world_size)):
        if value != -1:
            query[name] = str(value)
    return _handlers[parts.scheme](parts, query, **kwargs)


def _number(query, name, scheme):
    if name not in query:
        raise ValueError(f"Error initializing torch.distributed using {scheme}:// rendezvous: "
                         f"{name.replace('_', ' ')} parameter missing")
    return int(query[name])


def _file(parts, query, **kwargs):
    if not parts.path:
        raise ValueError("Error initializing torch.distributed using file:// rendezvous: path missing")
    rank, world_size = _number(query, "rank", "file"), _number(query, "world_size", "file")
    yield FileStore(parts.path, world_size), rank, world_size
    raise RuntimeError("Unable to perform rerendezvous using file:// method")


def _tcp(parts, query, timeout=STORE_TIMEOUT, **kwargs):
    if parts.port is None:
        raise ValueError("Error initializing torch.distributed using tcp:// rendezvous: port number missing")
    rank, world_size = _number(query, "rank", "tcp"), _number(query, "world_size", "tcp")
    yield TCPStore(parts.hostname, parts.port, world_size, rank == 0, timeout, multi_tenant=True), rank, world_size
    raise RuntimeError("Unable to perform re-rendezvous using tcp:// method")


def _environment(parts, query, timeout=STORE_TIMEOUT, **kwargs):
    def value(name):
        if not os.environ.get(name):
            raise ValueError(f"Error initializing torch.distributed using env:// rendezvous: environment variable "
                             f"{name} expected, but not set")
        return os.environ[name]
    rank = int(query["rank"] if "rank" in query else value("RANK"))
    world_size = int(query["world_size"] if "world_size" in query else value("WORLD_SIZE"))
    host, port = value("MASTER_ADDR"), int(value("MASTER_PORT"))
    # The launcher serves the store itself, so that it outlives a worker.
    served = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = TCPStore(host, port, world_size, rank == 0 and not served, timeout, multi_tenant=True)
    if served:
        from .store import PrefixStore
        store = PrefixStore(f"/worker/attempt_{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    yield store, rank, world_size
    raise RuntimeError("Unable to perform re-rendezvous using env:// method")


for _scheme, _handler in (("file", _file), ("tcp", _tcp), ("env", _environment)):
    register_rendezvous_handler(_scheme, _handler)
del _scheme, _handler
