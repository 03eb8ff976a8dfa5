"""Where loaded storages go: device tags in files, and ``map_location``."""

import rushlight as torch

_NO_CUDA = ("Attempting to deserialize object on a CUDA device but torch.cuda.is_available() is False. "
            "If you are running on a CPU-only machine, please use torch.load with "
            "map_location=torch.device('cpu') to map your storages to the CPU.")


def _cpu_tag(storage):
    return "cpu" if storage.device.type == "cpu" else None


def _to_cpu(storage, location):
    return storage if location == "cpu" else None


def _meta_tag(storage):
    return "meta" if storage.device.type == "meta" else None


def _to_meta(storage, location):
    if location != "meta":
        return None
    return torch.empty(storage.nbytes(), dtype=torch.uint8, device="meta").untyped_storage()


def _to_cuda(storage, location):
    if location.partition(":")[0] == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(_NO_CUDA)
    return None


_packages = [(10, _cpu_tag, _to_cpu), (20, lambda storage: None, _to_cuda),
             (22, _meta_tag, _to_meta)]


def register_package(priority, tagger, deserializer):
    """Add a kind of device: `tagger(storage)` names it, `deserializer(storage, tag)` moves there.

    Both give None for what is not theirs; lower priorities are asked first.
    """
    _packages.append((priority, tagger, deserializer))
    _packages.sort(key=lambda entry: entry[0])


def location_tag(storage):
    """The device tag saved for a storage."""
    for _, tagger, _ in _packages:
        tag = tagger(storage)
        if tag:
            return tag
    raise RuntimeError(f"don't know how to determine data location of {_kind(storage)}")


def default_restore_location(storage, location):
    """`storage` on the device that the tag `location` names."""
    for _, _, deserializer in _packages:
        result = deserializer(storage, location)
        if result is not None:
            return result
    raise RuntimeError(f"don't know how to restore data location of {_kind(storage)} "
                       f"(tagged with {location})")


def _kind(storage):
    return f"torch.storage.{type(storage).__name__}"


def restorer(map_location):
    """The function (storage, tag) -> storage for a ``map_location`` argument."""
    if map_location is None:
        return default_restore_location
    if isinstance(map_location, dict):
        return lambda storage, location: default_restore_location(
            storage, map_location.get(location, location))
    if isinstance(map_location, str):
        return lambda storage, location: default_restore_location(storage, map_location)
    if isinstance(map_location, torch.device):
        return lambda storage, location: default_restore_location(storage, str(map_location))

    def restore(storage, location):
        result = map_location(storage, location)
        return default_restore_location(storage, location) if result is None else result
    return restore


def stays_off_memory(map_location):
    """Whether every storage goes to the meta device, so that no bytes need reading."""
    return isinstance(map_location, (str, torch.device)) and str(map_location) == "meta"
