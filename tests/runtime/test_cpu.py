"""CPU facts are plausible and follow affinity and cgroup limits."""

import os

import pytest

from rushlight.runtime import cpu


def test_facts():
    caches = cpu.caches()
    assert 8 << 10 <= caches.l1d <= caches.l2
    assert caches.l3 > 0
    assert cpu.vector_bytes() in (16, 32, 64)
    assert 1 <= cpu.usable_cores() <= os.cpu_count()
    assert cpu.physical_memory() > 1 << 20
    if cpu.has("avx512f"):
        assert cpu.has("avx2", "fma")


@pytest.mark.parametrize(
    "files, limit",
    [
        ({"/proc/self/cgroup": "0::/a/b", "/sys/fs/cgroup/a/b/cpu.max": "max 100000"}, None),
        ({"/proc/self/cgroup": "0::/a/b", "/sys/fs/cgroup/a/b/cpu.max": "150000 100000"}, 1.5),
        (
            {
                "/proc/self/cgroup": "0::/a/b",
                "/sys/fs/cgroup/a/b/cpu.max": "300000 100000",
                "/sys/fs/cgroup/a/cpu.max": "100000 100000",
            },
            1.0,
        ),
        (
            {
                "/proc/self/cgroup": "3:cpu,cpuacct:/x\n1:memory:/",
                "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "200000",
                "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000",
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            2.0,
        ),
        ({}, None),
    ],
)
def test_cgroup_limit(monkeypatch, files, limit):
    monkeypatch.setattr(cpu, "_read", lambda path: files.get(path, ""))
    assert cpu.cgroup_cpu_limit() == limit
    assert cpu.usable_cores() <= max(1, round(limit or os.cpu_count()))


@pytest.mark.parametrize("text, count", [("0", 1), ("0-3", 4), ("0-1,4,6-7", 5), ("", 0)])
def test_cpu_lists(text, count):
    assert cpu._count(text) == count
