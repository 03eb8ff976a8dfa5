"""The threads of the OpenBLAS that NumPy and SciPy bring along for LAPACK.

    use_for(n)      before LAPACK works on matrices with sides of up to n

It starts with a thread a core and shares out the smallest blocks: factorizations of 128 x 128 took 2 to 4 times as long
on two threads as on one (Zen 4). Libraries that aren't found, as those of a distribution, keep their threads.
"""

import ctypes
import glob
import os

from rushlight.runtime import threadpool

SEVERAL_FROM = 512              # sides of matrices that are worth several threads
_NAMES = ("scipy_openblas_set_num_threads64_", "scipy_openblas_set_num_threads", "openblas_set_num_threads64_",
          "openblas_set_num_threads")
_setters = {}                   # package -> function that sets the number of threads, or None
_now = {}                       # package -> number of threads


def _setter(package):
    folder = os.path.dirname(__import__(package).__file__)
    for path in glob.glob(os.path.join(folder + ".libs", "*openblas*")):
        library = ctypes.CDLL(path)
        for name in _NAMES:
            if hasattr(library, name):
                return getattr(library, name)
    return None


def use_for(n, package):
    """Let the library that `package` ("numpy" or "scipy") brings use one thread, or all of ours for large matrices."""
    threads = threadpool.get_num_threads() if n >= SEVERAL_FROM else 1
    if _now.get(package) == threads:
        return
    if package not in _setters:
        _setters[package] = _setter(package)
    if _setters[package] is not None:
        _setters[package](threads)
    _now[package] = threads
