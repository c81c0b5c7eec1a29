"""Puts a small, self-contained object file into memory so that its one function can be called.

LLVM's own loader does the same and costs 50 MiB and a tenth of a second in every process of the model server.
This one knows only what `tree_kernel.py` makes: x86-64 ELF whose references stay inside the file. Anything
else is refused by returning nothing, and the caller takes LLVM's.

References
----------
System V ABI, AMD64 supplement, section 4 (object files); ELF-64 object file format, version 1.5.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from dataclasses import dataclass

_X86_64, _ALLOCATED, _NOBITS = 62, 0x2, 8
_SYMBOLS, _RELOCATIONS = 2, 4
_RELATIVE_32 = (2, 4)  # R_X86_64_PC32 and R_X86_64_PLT32: target + addend - place, in 32 bits
_EXECUTABLE = 0x4
_MAXIMUM_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Section:
    kind: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int


class LoadedCode:
    """Code in memory that can be run and no longer written.

    Attributes
    ----------
    address
        Of the function that was asked for; valid as long as this object lives.
    """

    def __init__(self, image: bytes, entry: int) -> None:
        self._memory = mmap.mmap(-1, len(image), prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self._memory.write(image)
        self._held = ctypes.c_char.from_buffer(self._memory)
        start = ctypes.addressof(self._held)
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        if protect(start, len(image), mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError(ctypes.get_errno(), "memory cannot be made executable")
        self.address = start + entry


def load(content: bytes, symbol: str) -> LoadedCode | None:
    """Load an object file, or None where it is not of the one kind that is known here.

    Raises
    ------
    OSError
        The system does not let memory be made executable.
    """
    try:
        linked = _linked(content, symbol)
    except (struct.error, IndexError, ValueError, StopIteration):
        return None
    return LoadedCode(*linked) if linked else None


def _linked(content: bytes, symbol: str) -> tuple[bytes, int] | None:
    """The file's allocated sections one after another, references resolved, and where `symbol` stands."""
    if content[:6] != b"\x7fELF\x02\x01" or len(content) > _MAXIMUM_BYTES:
        return None
    machine = struct.unpack_from("<H", content, 18)[0]
    table, size, count = struct.unpack_from("<Q", content, 40)[0], *struct.unpack_from("<HH", content, 58)
    if machine != _X86_64 or size != 64:
        return None
    sections = [_section(content, table + index * size) for index in range(count)]
    image = bytearray()
    places: dict[int, int] = {}
    for index, section in enumerate(sections):
        if section.flags & _ALLOCATED and section.kind != _NOBITS:
            image += bytes(-len(image) % max(section.alignment, 1))
            places[index] = len(image)
            image += content[section.offset : section.offset + section.size]
    symbols = _symbols(content, sections)
    for section in sections:
        if section.kind != _RELOCATIONS or section.info not in places:
            continue
        if sections[section.info].flags & _EXECUTABLE == 0:
            continue  # unwinding tables: nothing here raises
        for at in range(section.offset, section.offset + section.size, 24):
            place, info, addend = struct.unpack_from("<QQq", content, at)
            _, home, value = symbols[info >> 32]
            if info & 0xFFFFFFFF not in _RELATIVE_32 or home not in places:
                return None
            here = places[section.info] + place
            struct.pack_into("<i", image, here, places[home] + value + addend - here)
    entry = next((places[home] + value for name, home, value in symbols if name == symbol and home in places), None)
    return None if entry is None else (bytes(image), entry)


def _section(content: bytes, at: int) -> _Section:
    _, kind, flags, _, offset, size, link, info, alignment, _ = struct.unpack_from("<IIQQQQIIQQ", content, at)
    return _Section(kind, flags, offset, size, link, info, alignment)


def _symbols(content: bytes, sections: list[_Section]) -> list[tuple[str, int, int]]:
    """Name, home section and value of every symbol, in the file's order."""
    table = next(section for section in sections if section.kind == _SYMBOLS)
    names = sections[table.link]
    found = []
    for at in range(table.offset, table.offset + table.size, 24):
        name, _, _, home, value, _ = struct.unpack_from("<IBBHQQ", content, at)
        begin = names.offset + name
        found.append((content[begin : content.index(b"\0", begin)].decode("ascii", "replace"), home, value))
    return found
