"""The zip container of checkpoints: uncompressed records that start on 64-byte boundaries.

Only the parts of the zip format that checkpoints use are written (stored entries, zip64 where
sizes ask for it; APPNOTE 6.3.x, sections 4.3 and 4.5.3). Record names begin with the archive's name.
"""

import hashlib
import struct
import zipfile
import zlib

import numpy as np

ALIGNMENT = 64
_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_END64 = struct.Struct("<IQHHIIQQQQ")
_LOCATOR64 = struct.Struct("<IIQI")
_MAX32 = 0xFFFFFFFF
_PIECE = 1 << 20
_UTF8_NAMES = 1 << 11
_DATE_1980 = 0x21           # 1 January 1980: files depend on their contents only
_PADDING_ID = 0x4246        # b"FB": the extra field PyTorch pads with

_CORRUPT = ("failed reading zip archive: {}. The checkpoint file is truncated or corrupted: it may "
            "not have been saved or transferred completely.")


class ArchiveWriter:
    """Appends records to a file object; `close` writes the directory."""

    def __init__(self, file, name, checksums=True):
        self.file = file
        self.name = name
        self.checksums = checksums          # without, records have the checksum 0, which readers take for none
        self._offset = 0
        self._entries = []

    def write(self, record, data):
        """Append `data` (bytes-like, contiguous) as ``<archive>/<record>``."""
        data = memoryview(data).cast("B") if memoryview(data).nbytes else b""
        self._head(record, zlib.crc32(data) if self.checksums else 0, len(data))
        self._put(data)

    def reserve(self, record, size):
        """Append a record of `size` zero bytes without a checksum: room for what is filled in later."""
        self._head(record, 0, size)
        for start in range(0, size, _PIECE):
            self._put(bytes(min(_PIECE, size - start)))

    def _head(self, record, crc, size):
        name = f"{self.name}/{record}".encode()
        large = size >= _MAX32
        extra = struct.pack("<HHQQ", 1, 16, size, size) if large else b""
        start = self._offset + _LOCAL.size + len(name) + len(extra) + 4
        pad = -start % ALIGNMENT
        extra += struct.pack("<HH", _PADDING_ID, pad) + b"Z" * pad
        shown = _MAX32 if large else size
        version = 45 if large else 0
        self._entries.append((name, crc, size, self._offset, version))
        self._put(_LOCAL.pack(0x04034B50, version, _UTF8_NAMES, 0, 0, _DATE_1980, crc, shown, shown,
                              len(name), len(extra)) + name + extra)

    def _put(self, data):
        self.file.write(data)
        self._offset += len(data)

    def serialization_id(self):
        """Forty digits that name the contents written so far."""
        digest = hashlib.sha256()
        for name, crc, size, _, _ in self._entries:
            digest.update(b"%s %d %d;" % (name.partition(b"/")[2], crc, size))
        return b"%040d" % (int.from_bytes(digest.digest(), "big") % 10**40)

    def close(self):
        """Write the central directory."""
        start = self._offset
        for name, crc, size, offset, version in self._entries:
            wide = [v for v in (size, size, offset) if v >= _MAX32]
            extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
            shown, where = min(size, _MAX32), min(offset, _MAX32)
            self._put(_CENTRAL.pack(0x02014B50, 0, 45 if wide else version, _UTF8_NAMES, 0, 0,
                                    _DATE_1980, crc, shown, shown, len(name), len(extra), 0, 0, 0,
                                    0, where) + name + extra)
        count, length, end = len(self._entries), self._offset - start, self._offset
        if count >= 0xFFFF or start >= _MAX32 or length >= _MAX32:
            self._put(_END64.pack(0x06064B50, 44, 45, 45, 0, 0, count, count, length, start))
            self._put(_LOCATOR64.pack(0x07064B50, 0, end, 1))
        self._put(_END.pack(0x06054B50, 0, 0, min(count, 0xFFFF), min(count, 0xFFFF),
                            min(length, _MAX32), min(start, _MAX32), 0))


class ArchiveReader:
    """Finds and reads records of a checkpoint; every size and offset in it is checked."""

    def __init__(self, file):
        self.file = file
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, zipfile.LargeZipFile, struct.error, ValueError,
                NotImplementedError, UnicodeDecodeError) as error:
            raise RuntimeError(_CORRUPT.format(error)) from None
        names = self._zip.namelist()
        if not names:
            raise RuntimeError(_CORRUPT.format("the archive is empty"))
        self.name = names[0].partition("/")[0]
        self._entries = {}
        for info in self._zip.infolist():
            if info.filename in self._entries:
                raise RuntimeError(_CORRUPT.format(f"two records are named {info.filename}"))
            self._entries[info.filename] = info
        file.seek(0, 2)
        self._length = file.tell()

    def __contains__(self, record):
        return f"{self.name}/{record}" in self._entries

    def _info(self, record):
        try:
            return self._entries[f"{self.name}/{record}"]
        except KeyError:
            raise RuntimeError(f"failed finding record {record} in the checkpoint archive; "
                               "the file is incomplete or not a checkpoint") from None

    def size(self, record):
        """Bytes of a record."""
        return self._info(record).file_size

    def read(self, record):
        """The record as bytes."""
        info = self._info(record)
        if info.compress_type == zipfile.ZIP_STORED:
            out = np.empty(self._stored_size(info), np.uint8)
            self.read_into(record, out)
            return out.tobytes()
        try:
            with self._zip.open(info) as stream:
                data = stream.read(info.file_size + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise RuntimeError(_CORRUPT.format(error)) from None
        if len(data) != info.file_size:
            raise RuntimeError(_CORRUPT.format(f"record {record} has a wrong size"))
        return data

    def _stored_size(self, info):
        if info.file_size != info.compress_size or info.file_size > self._length:
            raise RuntimeError(_CORRUPT.format(f"record {info.filename} has a wrong size"))
        return info.file_size

    def offset(self, record):
        """Where the bytes of a stored record begin in the file."""
        info = self._info(record)
        if info.compress_type != zipfile.ZIP_STORED:
            raise RuntimeError(f"record {record} is compressed; it can't be mapped")
        size = self._stored_size(info)
        self.file.seek(info.header_offset)
        head = self.file.read(_LOCAL.size)
        if len(head) < _LOCAL.size or head[:4] != b"PK\x03\x04":
            raise RuntimeError(_CORRUPT.format(f"no header where record {record} should be"))
        name_length, extra_length = _LOCAL.unpack(head)[-2:]
        start = info.header_offset + _LOCAL.size + name_length + extra_length
        if start + size > self._length:
            raise RuntimeError(_CORRUPT.format(f"record {record} ends beyond the file"))
        return start

    def forget_checksum(self, record, mapping):
        """Set the record's checksum to 0 (none) in a writable mapping of the file, as its bytes are going to change."""
        info = self._info(record)
        at = self._zip.start_dir
        while mapping[at:at + 4] == b"PK\x01\x02":
            entry = _CENTRAL.unpack_from(mapping, at)
            name = mapping[at + _CENTRAL.size:at + _CENTRAL.size + entry[10]]
            if name.decode() == info.filename:
                mapping[at + 16:at + 20] = mapping[info.header_offset + 14:info.header_offset + 18] = bytes(4)
                return
            at += _CENTRAL.size + sum(entry[10:13])

    def read_into(self, record, array):
        """Fill the byte array `array` with a record and check the record's CRC-32, if it has one."""
        info = self._info(record)
        if info.compress_type != zipfile.ZIP_STORED:
            array[:] = np.frombuffer(self.read(record), np.uint8)
            return
        self.file.seek(self.offset(record))
        view, done = memoryview(array), 0
        while done < len(view):
            if hasattr(self.file, "readinto"):
                count = self.file.readinto(view[done:])
            else:
                piece = self.file.read(len(view) - done)
                count = len(piece)
                view[done:done + count] = piece
            if not count:
                raise RuntimeError(_CORRUPT.format(f"record {record} ends early"))
            done += count
        if info.CRC and zlib.crc32(view) != info.CRC:
            raise RuntimeError(_CORRUPT.format(f"record {record} has a wrong CRC-32"))
