"""Exceptions of the distributed package."""


class DistError(RuntimeError):
    """Something between processes failed."""


class DistBackendError(DistError):
    """A backend failed."""


class DistNetworkError(DistError):
    """A connection could not be made, or broke."""


class DistStoreError(DistError):
    """A store did not answer in time, or could not do what was asked."""


class QueueEmptyError(DistStoreError):
    """Nothing was in a queue of a store."""


for _error in (DistError, DistBackendError, DistNetworkError, DistStoreError, QueueEmptyError):
    _error.__module__ = "torch.distributed"
del _error
