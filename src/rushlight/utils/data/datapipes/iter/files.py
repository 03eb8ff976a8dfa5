"""Pipes of files and their contents."""

import fnmatch
import os

from ..datapipe import IterDataPipe, functional_datapipe
from .utils import IterableWrapperIterDataPipe


@functional_datapipe("list_files")
class FileListerIterDataPipe(IterDataPipe):
    """Paths of the files in directories, sorted.

    Args:
        root: a path, several, or a pipe of them.
        masks: patterns such as ``*.png``; default all files.
        recursive (bool): in directories below, too.
        abspath (bool): absolute paths.
        non_deterministic (bool): in the order in which the system lists them.
        length (int): what ``len`` gives; -1: TypeError.
    """

    def __init__(self, root=".", masks="", *, recursive=False, abspath=False, non_deterministic=False, length=-1):
        root = [root] if isinstance(root, str) else root
        self.datapipe = root if isinstance(root, IterDataPipe) else IterableWrapperIterDataPipe(root)
        self.masks, self.recursive, self.abspath = masks, recursive, abspath
        self.non_deterministic, self.length = non_deterministic, length

    def _matches(self, name):
        masks = [self.masks] if isinstance(self.masks, str) else self.masks
        return not self.masks or any(fnmatch.fnmatch(name, m) for m in masks)

    def __iter__(self):
        for root in self.datapipe:
            for folder, below, names in os.walk(os.path.abspath(root) if self.abspath else root):
                if not self.non_deterministic:
                    below.sort()
                    names.sort()
                for name in names:
                    if self._matches(name):
                        yield os.path.join(folder, name)
                if not self.recursive:
                    break

    def __len__(self):
        if self.length == -1:
            raise TypeError(f"{type(self).__name__} instance doesn't have valid length")
        return self.length


@functional_datapipe("open_files")
class FileOpenerIterDataPipe(IterDataPipe):
    """(path, open file) of paths; whoever reads a file closes it.

    Args:
        datapipe: the source, of paths.
        mode, encoding: as of `open`.
        length (int): what ``len`` gives; -1: TypeError.
    """

    def __init__(self, datapipe, mode="r", encoding=None, length=-1):
        if mode not in ("b", "t", "rb", "rt", "r"):
            raise ValueError(f"Invalid mode {mode}")
        self.datapipe, self.mode, self.encoding, self.length = datapipe, mode, encoding, length

    def __iter__(self):
        for path in self.datapipe:
            yield path, open(path, "r" + self.mode.replace("r", ""), encoding=self.encoding)

    def __len__(self):
        if self.length == -1:
            raise TypeError(f"{type(self).__name__} instance doesn't have valid length")
        return self.length


@functional_datapipe("read_from_stream")
class StreamReaderIterDataPipe(IterDataPipe):
    """(path, contents) of open files, which are closed at their end.

    Args:
        datapipe: the source, of (path, file).
        chunk (int): give so many bytes or characters at a time; default all at once.
    """

    def __init__(self, datapipe, chunk=None):
        self.datapipe, self.chunk = datapipe, chunk

    def __iter__(self):
        for path, stream in self.datapipe:
            with stream:
                while piece := stream.read(self.chunk):
                    yield path, piece
                    if self.chunk is None:
                        break
