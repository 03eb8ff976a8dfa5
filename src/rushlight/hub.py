"""Models from a directory with a ``hubconf.py`` (``torch.hub``). Nothing is downloaded: there are no network calls.

A ``hubconf.py`` defines functions, the *entry points*; those whose names begin with an underscore are its own. A list
`dependencies` in it names the modules it needs.
"""

import contextlib
import importlib.util
import os
import sys

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

_dir = None


def get_dir():
    """The directory for models: what `set_dir` chose, ``$TORCH_HOME/hub``, or ``~/.cache/torch/hub``."""
    if _dir is not None:
        return _dir
    cache = os.environ.get("XDG_CACHE_HOME", os.path.join(os.path.expanduser("~"), ".cache"))
    home = os.path.expanduser(os.environ.get("TORCH_HOME", os.path.join(cache, "torch")))
    return os.path.join(home, "hub")


def set_dir(d):
    """Choose the directory for models."""
    global _dir
    _dir = os.path.expanduser(d)


@contextlib.contextmanager
def _importable(directory):
    sys.path.insert(0, directory)
    try:
        yield
    finally:
        sys.path.remove(directory)


def _cached(github):
    """The directory of a repository ``owner/name[:branch]`` that lies in `get_dir`; RuntimeError where it doesn't."""
    repo, _, branch = github.partition(":")
    owner, _, name = repo.partition("/")
    branches = (branch,) if branch else ("main", "master")
    for b in branches:
        path = os.path.join(get_dir(), "_".join((owner, name, b.replace("/", "_"))))
        if os.path.isdir(path):
            return path
    raise RuntimeError(f"{github} is not in {get_dir()}: Rushlight downloads nothing. Put the repository there as "
                       f"{owner}_{name}_{branches[0]}, or give its directory with source='local'.")


def _config(directory):
    path = os.path.join(directory, "hubconf.py")
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path}: no such file; a model directory needs a hubconf.py")
    spec = importlib.util.spec_from_file_location("hubconf", path)
    module = importlib.util.module_from_spec(spec)
    with _importable(directory):
        spec.loader.exec_module(module)
    return module


def _entry(module, name):
    if not isinstance(name, str):
        raise ValueError("Invalid input: model should be a string of function name")
    missing = [m for m in getattr(module, "dependencies", ()) if importlib.util.find_spec(m) is None]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
    fn = getattr(module, name, None)
    if not callable(fn):
        raise RuntimeError(f"Cannot find callable {name} in hubconf")
    return fn


def _directory(repo_or_dir, source):
    if source not in ("github", "local"):
        raise ValueError(f"Unknown source: \"{source}\". Allowed values: \"github\" | \"local\".")
    return repo_or_dir if source == "local" else _cached(repo_or_dir)


def list(github, force_reload=False, skip_validation=False, trust_repo="check", verbose=True):
    """Names of the entry points of a repository that lies in `get_dir`, or of a directory."""
    module = _config(github if os.path.isdir(github) else _cached(github))
    return [n for n in dir(module) if callable(getattr(module, n)) and not n.startswith("_")]


def help(github, model, force_reload=False, skip_validation=False, trust_repo="check"):
    """The docstring of an entry point."""
    module = _config(github if os.path.isdir(github) else _cached(github))
    return _entry(module, model).__doc__


def load(repo_or_dir, model, *args, source="github", trust_repo="check", force_reload=False, verbose=True,
         skip_validation=False, **kwargs):
    """What entry point `model` gives for the further arguments.

    source: ``"local"`` for a directory, ``"github"`` for a repository that lies in `get_dir`. RuntimeError for entry
    points or dependencies that aren't there.
    """
    directory = _directory(repo_or_dir, source)
    fn = _entry(_config(directory), model)
    with _importable(directory):
        return fn(*args, **kwargs)


def download_url_to_file(url, dst, hash_prefix=None, progress=True):
    """Not there: Rushlight makes no network calls."""
    raise NotImplementedError(f"download_url_to_file: Rushlight makes no network calls; fetch {url} yourself")


def load_state_dict_from_url(url, model_dir=None, map_location=None, progress=True, check_hash=False, file_name=None,
                             weights_only=False):
    """The state dict in the file that the URL names, where it lies in ``get_dir()/checkpoints`` or `model_dir`.

    FileNotFoundError where it doesn't: nothing is downloaded.
    """
    import rushlight as torch
    directory = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    path = os.path.join(directory, file_name or os.path.basename(url.partition("?")[0]))
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: Rushlight makes no network calls; fetch {url} to this place")
    return torch.load(path, map_location=map_location, weights_only=weights_only)
