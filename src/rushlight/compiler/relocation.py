"""How machine code refers to addresses: the relocations that ``image`` resolves, by instruction set.

Each class says which of an object's relocations it knows: ``TABLE`` (the place of a slot that holds the address),
``CALLS`` (calls, which may go to a stub), ``ABSOLUTE`` (a 64-bit address). ``apply(image, kind, here, target)`` writes
any other into the image's bytes, ``stub(image, at, slot)`` the jump to the address in a slot.

References: System V ABI, AMD64 supplement, chapter 4; ELF for the Arm 64-bit architecture, chapter 5.
"""

import struct


class Unsupported(Exception):
    """The object has something only a real linker can do."""


class X86:
    """x86-64: distances from instructions in 32 or 64 bits, jumps to outside functions through their slots."""

    MACHINE, STUB_BYTES = 62, 8
    ABSOLUTE, PC32, PC64, PLT32 = 1, 2, 24, 4
    CALLS, TABLE = (PLT32,), (9, 41, 42)

    @staticmethod
    def stub(image, at, slot):
        # jmp *slot(%rip)
        struct.pack_into("<HiH", image, at, 0x25FF, slot - at - 6, 0x9066)

    @classmethod
    def apply(cls, image, kind, here, target):
        if kind in (cls.PC32, cls.PLT32, *cls.TABLE):
            struct.pack_into("<i", image, here, target - here)
        elif kind == cls.PC64:
            struct.pack_into("<q", image, here, target - here)
        else:
            raise Unsupported


def _bits(image, here, value, width, shift):
    """Put ``width`` bits of ``value`` into the instruction at ``here``, from bit ``shift`` on."""
    word, = struct.unpack_from("<I", image, here)
    mask = (1 << width) - 1
    struct.pack_into("<I", image, here, word & ~(mask << shift) | (value & mask) << shift)


def _near(distance, bits):
    if distance & 3 or not -(1 << bits - 1) <= distance >> 2 < 1 << bits - 1:
        raise Unsupported
    return distance >> 2


class Arm:
    """AArch64. Pages are those of the instruction set, 4 KB: images lie at multiples of that."""

    MACHINE, STUB_BYTES = 183, 16
    ABSOLUTE, PREL64, PREL32 = 257, 260, 261
    JUMP26, CALL26, CONDBR19, TSTBR14, LD_LO19 = 282, 283, 280, 279, 273
    PAGE_HI21, GOT_PAGE, ADR_LO21 = 275, 311, 274
    # Low twelve bits of an address, in units of the access.
    LOW12 = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4, 312: 3}
    CALLS, TABLE = (JUMP26, CALL26), (311, 312)

    @classmethod
    def stub(cls, image, at, slot):
        # adrp x16, slot; ldr x16, [x16, slot]; br x16
        struct.pack_into("<4I", image, at, 0x90000010, 0xF9400210, 0xD61F0200, 0xD503201F)
        cls.apply(image, cls.PAGE_HI21, at, slot)
        cls.apply(image, 286, at + 4, slot)

    @classmethod
    def apply(cls, image, kind, here, target):
        distance = target - here
        if kind in cls.CALLS:
            _bits(image, here, _near(distance, 26), 26, 0)
        elif kind in (cls.PAGE_HI21, cls.GOT_PAGE, cls.ADR_LO21):
            if kind != cls.ADR_LO21:
                distance = (target >> 12) - (here >> 12)
            _bits(image, here, distance, 2, 29)
            _bits(image, here, distance >> 2, 19, 5)
        elif kind in cls.LOW12:
            _bits(image, here, (target & 0xFFF) >> cls.LOW12[kind], 12, 10)
        elif kind in (cls.CONDBR19, cls.LD_LO19):
            _bits(image, here, _near(distance, 19), 19, 5)
        elif kind == cls.TSTBR14:
            _bits(image, here, _near(distance, 14), 14, 5)
        elif kind == cls.PREL32:
            struct.pack_into("<i", image, here, distance)
        elif kind == cls.PREL64:
            struct.pack_into("<q", image, here, distance)
        else:
            raise Unsupported


MACHINES = {machine.MACHINE: machine for machine in (X86, Arm)}
