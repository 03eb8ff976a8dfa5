"""Machine code without a linker: objects flattened when compiled, mapped when loaded.

``flatten`` lays the sections of an ELF object (x86-64 or AArch64) out as one position-independent image,
resolves what is relative, and lists what is not: slots for addresses of outside functions and absolute pointers.
``load`` copies an image into executable memory and fills those in.  So a program whose kernels are on
disk needs no LLVM at all to start, and a kernel loads in microseconds.

Code pages are written before they are made executable and never writable again (data pages stay
writable).  Objects with relocations that ``relocation`` doesn't know are left to LLVM's own loader.
"""

import ctypes
import marshal
import mmap
import struct
import threading
from functools import cache

from rushlight.compiler.relocation import MACHINES, Unsupported

PAGE = mmap.PAGESIZE
ALLOC, WRITE = 2, 1
NOBITS, RELA, SYMTAB, UNWIND = 8, 4, 2, 0x70000001
# Address space for code; less where a limit on it is set.
ARENA_BYTES = (256 << 20, 64 << 20, 16 << 20)

_lock = threading.Lock()


def flatten(code):
    """The image of an object as bytes, or None if it can't be flattened."""
    try:
        return _flatten(code)
    except (Unsupported, struct.error, IndexError):
        return None


class _Section:
    __slots__ = ("type", "flags", "offset", "size", "link", "info", "align", "entry", "name", "at")


def _flatten(code):
    machine = MACHINES.get(struct.unpack_from("<H", code, 18)[0])
    if code[:6] != b"\x7fELF\x02\x01" or machine is None:
        raise Unsupported
    table, = struct.unpack_from("<Q", code, 40)
    width, count, names = struct.unpack_from("<3H", code, 58)
    sections = []
    for i in range(count):
        s = _Section()
        (s.name, s.type, s.flags, _, s.offset, s.size, s.link, s.info, s.align, s.entry
         ) = struct.unpack_from("<IIQQQQIIQQ", code, table + i * width)  # fmt: skip
        s.at = None
        sections.append(s)
    strings = sections[names].offset

    def text(at):
        return code[at : code.index(b"\0", at)].decode()

    kept = [
        s for s in sections
        if s.flags & ALLOC and s.type != UNWIND and text(strings + s.name) != ".eh_frame"
    ]
    symbols_at = next(s for s in sections if s.type == SYMTAB)
    symbol_names = sections[symbols_at.link].offset
    symbols = []
    for at in range(symbols_at.offset, symbols_at.offset + symbols_at.size, 24):
        name, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", code, at)
        symbols.append((text(symbol_names + name), info, section, value))

    image = bytearray()

    def place(writable):
        for s in kept:
            if bool(s.flags & WRITE) == writable:
                image.extend(bytes(-len(image) % max(s.align, 1)))
                s.at = len(image)
                image.extend(bytes(s.size) if s.type == NOBITS
                             else code[s.offset : s.offset + s.size])

    place(False)
    # Outside functions: a jump through a slot each; slots also serve as a table of addresses.
    outside = sorted({name for name, _, section, _ in symbols if section == 0 and name})
    image.extend(bytes(-len(image) % 16))
    stubs = {name: len(image) + i * machine.STUB_BYTES for i, name in enumerate(outside)}
    image.extend(bytes(machine.STUB_BYTES * len(outside)))
    slots = {name: len(image) + 8 * i for i, name in enumerate(outside)}
    image.extend(bytes(8 * len(outside)))
    for name in outside:
        machine.stub(image, stubs[name], slots[name])
    table_slots = {}
    for s in sections:
        if s.type == RELA and sections[s.info].at is not None:
            for at in range(s.offset, s.offset + s.size, 24):
                _, info, _ = struct.unpack_from("<QQq", code, at)
                if info & 0xFFFFFFFF in machine.TABLE:
                    name, _, section, _ = symbols[info >> 32]
                    if section != 0 and info >> 32 not in table_slots:
                        table_slots[info >> 32] = len(image)
                        image.extend(bytes(8))
    read_only = len(image)
    image.extend(bytes(-len(image) % PAGE))
    data_at = len(image)
    place(True)
    if len(image) == data_at:
        del image[read_only:]
        data_at = len(image)

    def address(index):
        _, _, section, value = symbols[index]
        if section >= 0xFF00 or sections[section].at is None:
            raise Unsupported
        return sections[section].at + value

    absolute = []
    for s in sections:
        if s.type != RELA or sections[s.info].at is None:
            continue
        base = sections[s.info].at
        for at in range(s.offset, s.offset + s.size, 24):
            offset, info, addend = struct.unpack_from("<QQq", code, at)
            kind, index, here = info & 0xFFFFFFFF, info >> 32, base + offset
            name, _, section, _ = symbols[index]
            if kind in machine.TABLE:
                target = slots[name] if section == 0 else table_slots[index]
            elif section != 0:
                target = address(index)
            elif kind in machine.CALLS:
                target = stubs[name]
            else:
                raise Unsupported
            if kind == machine.ABSOLUTE:
                absolute.append((here, target + addend))
            else:
                machine.apply(image, kind, here, target + addend)
    absolute += [(slot, address(index)) for index, slot in table_slots.items()]
    exports = {
        name: address(i) for i, (name, info, section, _) in enumerate(symbols)
        if name and info >> 4 == 1 and section != 0
    }
    return marshal.dumps((bytes(image), data_at, exports, slots, absolute))


class Arena:
    """A reserved range of addresses that images are put into, one after another."""

    def __init__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        self.protect = libc.mprotect
        self.protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        reserve = libc.mmap
        reserve.restype = ctypes.c_void_p
        reserve.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int,
                            ctypes.c_int, ctypes.c_long]
        private_anonymous, no_reserve = 0x22, 0x4000
        for self.size in ARENA_BYTES:
            self.base = reserve(None, self.size, 0, private_anonymous | no_reserve, -1, 0)
            if self.base not in (None, ctypes.c_void_p(-1).value):
                break
        else:
            raise OSError("no address space for generated code")
        self.used = 0

    def put(self, image, data_at):
        """Map an image; returns its address and a function that seals its code."""
        size = (len(image) + PAGE - 1) // PAGE * PAGE
        code_size = (data_at + PAGE - 1) // PAGE * PAGE
        at = self.base + self.used
        if self.used + size > self.size:
            raise OSError("the range for generated code is full")
        self.used += size
        self._set(at, size, mmap.PROT_READ | mmap.PROT_WRITE)
        ctypes.memmove(at, image, len(image))
        return at, lambda: self._set(at, code_size, mmap.PROT_READ | mmap.PROT_EXEC)

    def _set(self, at, size, protection):
        if self.protect(at, size, protection) != 0:
            raise OSError(ctypes.get_errno(), "mprotect failed")


@cache
def _arena():
    return Arena()


@cache
def _libraries():
    return [ctypes.CDLL(None), ctypes.CDLL("libm.so.6")]


def outside_address(name, imports, support=None):
    """Where a function is that an image calls: as given, of ``support(name)`` or in the process."""
    found = imports.get(name) or (support and support(name))
    if found:
        return found
    for library in _libraries():
        try:
            return ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        except AttributeError:
            continue
    raise OSError(f"generated code needs {name}, which this process does not have")


def load(image, imports=None, support=None):
    """Addresses of the symbols of an image made by ``flatten``, for the rest of the process.

    ``imports`` are addresses of outside functions; ``support(name)`` may know others.
    """
    code, data_at, exports, slots, absolute = marshal.loads(image)
    imports = imports or {}
    outside = {slot: outside_address(name, imports, support) for name, slot in slots.items()}
    with _lock:
        at, seal = _arena().put(code, data_at)
        for slot, value in outside.items():
            ctypes.c_uint64.from_address(at + slot).value = value
        for place, target in absolute:
            ctypes.c_uint64.from_address(at + place).value = at + target
        seal()
    return {name: at + offset for name, offset in exports.items()}
