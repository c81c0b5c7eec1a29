"""Where a log's entries and hashes are kept: in tiles of 256, and the newest entries one object each.

    origin                       the log's name, drawn by its first writer
    pending/000000003-017        entry 3 * 256 + 17, until its block of 256 is full
    tile/entries/003             block 3: 256 entries, each with its length (16 bits) before it
    tile/0/003  tile/1/000.p/4   hashes of full subtrees; `.p/4`: only the first four are there yet

Only what cannot change is kept, under names that tell what it is, so a reader may cache and a writer may repeat.
Tiles of hashes follow from the entries: one that is missing is computed again.

References
----------
C2SP tlog-tiles: https://c2sp.org/tlog-tiles
"""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.components.core.errors import InputError, MissingObjectError, StorageError
from tallystick.components.core.receipts.merkle import leaf_hash, root_of
from tallystick.components.core.storage import ObjectStore

WIDTH = 256
HASH_BYTES = 32
MAXIMUM_ENTRY_BYTES = (1 << 16) - 1
_CACHED_TILES = 512
_CACHED_LEAVES = 4 * WIDTH


class Tiles:
    """Entries and hashes of one log, below `prefix` of a store."""

    def __init__(self, store: ObjectStore, prefix: str) -> None:
        self._store, self._prefix = store, prefix
        self._hashes: dict[tuple[int, int, int], bytes] = {}
        self._leaves: dict[int, bytes] = {}
        self._last_block: tuple[int, tuple[bytes, ...]] | None = None
        self._kept = 0  # blocks below this one are known to be kept as tiles

    def claim(self, index: int, entry: bytes) -> bool:
        """Try to make `entry` the one at `index`; False where that place is taken.

        The claim is the store's own all-or-nothing write. A writer that slept while the block was filled, kept
        as a tile and tidied up may find the place free again: the tile decides, and it is there before the tidying.
        """
        if not self._store.put_once(self._pending_name(index), entry):
            return False
        block = self.block(index // WIDTH)
        if block is None or block[index % WIDTH] == entry:
            return True
        self._store.remove(self._pending_name(index))
        return False

    def entry(self, index: int) -> bytes | None:
        """Entry at `index`, or None where there is none yet."""
        if index // WIDTH >= self._kept:
            try:
                return self._store.get(self._pending_name(index))
            except MissingObjectError:
                pass  # not there yet, or kept in a block and tidied up
        block = self.block(index // WIDTH)
        return None if block is None else block[index % WIDTH]

    def block(self, number: int) -> tuple[bytes, ...] | None:
        """The 256 entries of a full block, or None where it is not kept as a tile yet."""
        if self._last_block and self._last_block[0] == number:
            return self._last_block[1]
        try:
            content = self._store.get(f"{self._prefix}/tile/entries/{tile_name(number)}")
        except MissingObjectError:
            return None
        block = split_entries(content, f"block {number} of the log")
        self._last_block = number, block
        self._kept = max(self._kept, number + 1)
        return block

    def keep_block(self, number: int, entries: Sequence[bytes]) -> None:
        """Keep a full block and the hashes that follow from it, then remove what stood for it."""
        self._store.put_once(f"{self._prefix}/tile/entries/{tile_name(number)}", join_entries(entries))
        self._keep_hashes(0, number, b"".join(leaf_hash(entry) for entry in entries))
        for done in (number - 1, number):  # the one before too: its writer may have been killed while tidying up
            for name in self._store.names(f"{self._prefix}/pending/{done:09d}-"):
                self._store.remove(name)

    def subtree(self, level: int, index: int) -> bytes:
        """Hash of the full subtree of 2**level entries that starts at entry index * 2**level."""
        tile_level, rest = divmod(level, 8)
        first = index << rest
        offset = first % WIDTH
        hashes = self._read_hashes(tile_level, first // WIDTH, offset + (1 << rest))
        return root_of(_split_hashes(hashes)[offset : offset + (1 << rest)])

    def _read_hashes(self, level: int, number: int, width: int) -> bytes:
        """At least the first `width` hashes of a tile."""
        for known in (WIDTH, width):
            if (level, number, known) in self._hashes:
                return self._hashes[level, number, known]
        for name in (self._tile_name(level, number, WIDTH), self._tile_name(level, number, width)):
            try:
                return self._cache(level, number, self._store.get(name), name)
            except MissingObjectError:
                continue
        return self._cache(level, number, self._compute(level, number, width), "")

    def _compute(self, level: int, number: int, width: int) -> bytes:
        children = range(number * WIDTH, number * WIDTH + width)
        if level == 0:
            return b"".join(self._leaf(index) for index in children)
        return b"".join(root_of(_split_hashes(self._read_hashes(level - 1, child, WIDTH))) for child in children)

    def _leaf(self, index: int) -> bytes:
        if index not in self._leaves:
            entry = self.entry(index)
            if entry is None:
                raise StorageError(f"entry {index} of the log is gone")
            if len(self._leaves) >= _CACHED_LEAVES:
                self._leaves.clear()
            self._leaves[index] = leaf_hash(entry)
        return self._leaves[index]

    def _keep_hashes(self, level: int, number: int, hashes: bytes) -> None:
        """Keep a tile; a full one adds its root to the level above."""
        width = len(hashes) // HASH_BYTES
        self._store.put_once(self._tile_name(level, number, width), hashes)
        self._cache(level, number, hashes, "")
        if width > 1 and level > 0:
            self._store.remove(self._tile_name(level, number, width - 1))
        if width == WIDTH:
            above, place = divmod(number, WIDTH)
            before = self._read_hashes(level + 1, above, place)[: place * HASH_BYTES] if place else b""
            self._keep_hashes(level + 1, above, before + root_of(_split_hashes(hashes)))

    def _cache(self, level: int, number: int, hashes: bytes, name: str) -> bytes:
        if len(hashes) % HASH_BYTES or not 0 < len(hashes) <= WIDTH * HASH_BYTES:
            raise StorageError(f"{name}: is damaged ({len(hashes)} bytes are no hashes)")
        if len(self._hashes) >= _CACHED_TILES:
            self._hashes.pop(next(iter(self._hashes)))
        self._hashes[level, number, len(hashes) // HASH_BYTES] = hashes
        return hashes

    def _tile_name(self, level: int, number: int, width: int) -> str:
        partial = "" if width == WIDTH else f".p/{width}"
        return f"{self._prefix}/tile/{level}/{tile_name(number)}{partial}"

    def _pending_name(self, index: int) -> str:
        return f"{self._prefix}/pending/{index // WIDTH:09d}-{index % WIDTH:03d}"


def tile_name(number: int) -> str:
    """A tile's number as a path: 1234067 is x001/x234/067."""
    digits = f"{number:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])


def join_entries(entries: Sequence[bytes]) -> bytes:
    """A block's content."""
    if len(entries) != WIDTH:
        raise ValueError(f"a block has {WIDTH} entries, not {len(entries)}")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def split_entries(content: bytes, where: str) -> tuple[bytes, ...]:
    """Entries of a block.

    Raises
    ------
    StorageError
        It is not a block of 256 whole entries.
    """
    entries = []
    position = 0
    while position < len(content):
        length = int.from_bytes(content[position : position + 2], "big")
        entries.append(content[position + 2 : position + 2 + length])
        position += 2 + length
    if len(entries) != WIDTH or position != len(content):
        raise StorageError(f"{where}: is damaged")
    return tuple(entries)


def check_entry(entry: bytes) -> None:
    """Refuse an entry that cannot stand in a block."""
    if not 0 < len(entry) <= MAXIMUM_ENTRY_BYTES:
        raise InputError("log entry", f"has {len(entry)} bytes", f"1 to {MAXIMUM_ENTRY_BYTES}")


def _split_hashes(content: bytes) -> list[bytes]:
    return [content[i : i + HASH_BYTES] for i in range(0, len(content), HASH_BYTES)]
