"""Waiting times that hold where the caller names none."""

from datetime import timedelta

default_pg_timeout = timedelta(minutes=30)
default_pg_nccl_timeout = None
STORE_TIMEOUT = timedelta(seconds=300)


def seconds(timeout):
    """A timedelta, or a number of seconds, as a float; TypeError for anything else."""
    if isinstance(timeout, timedelta):
        return timeout.total_seconds()
    if isinstance(timeout, (int, float)) and not isinstance(timeout, bool):
        return float(timeout)
    raise TypeError(f"Expected timeout argument to be of type datetime.timedelta, got {timeout!r}")
