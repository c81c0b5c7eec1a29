"""The log: entries that can be added and never changed, by many writers at once, each of whom may die at any time.

An entry is in the log from the moment in which its place is claimed by one all-or-nothing write; there is no
other moment. Whatever else is kept (blocks, hashes, the checkpoint) follows from the entries and is made up for
by whoever comes next. The log knows nothing of statements, and its keeper's signature says only: this is the
log, it has this many entries.

Without its keeper's key nobody can make a checkpoint; with it, somebody could keep two logs. Who remembers an
earlier checkpoint (an approver, a trust file) finds that out: `consistency`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from tallystick.components.core.errors import MissingObjectError, StorageError
from tallystick.components.core.receipts.checkpoint import Checkpoint, read_checkpoint, sign_checkpoint
from tallystick.components.core.receipts.keys import Signer
from tallystick.components.core.receipts.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    tree_root,
    window_proof,
)
from tallystick.components.core.receipts.tiles import WIDTH, Tiles, check_entry
from tallystick.components.core.storage import ObjectStore

FOLDER = "log"


class Log:
    """One log in a store, below `prefix`."""

    def __init__(self, store: ObjectStore, prefix: str = FOLDER) -> None:
        self._store, self._prefix = store, prefix
        self._tiles = Tiles(store, prefix)
        self._known = 0  # so many entries there are at least
        self._kept_blocks = 0  # so many blocks are known to be kept as tiles

    def origin(self) -> str:
        """The log's name, drawn at random by the first who asks."""
        name = f"{self._prefix}/origin"
        try:
            return self._store.get(name).decode()
        except MissingObjectError:
            self._store.put_once(name, f"tallystick.dev/log/{secrets.token_hex(8)}".encode())
            return self._store.get(name).decode()

    def append(self, entry: bytes, *, since: int | None = None) -> int:
        """Add one entry.

        Parameters
        ----------
        since
            Size of the log before an earlier try of the same entry, which may have succeeded although nobody
            heard of it (the writer was killed). Where the entry is found from there on it is not added again.

        Returns
        -------
        int
            The entry's place, from 0.

        Raises
        ------
        StorageError
            The store cannot be written. The entry may be in the log or not: try again with `since`.
        """
        check_entry(entry)
        with self._store.exclusive(f"{self._prefix}/.lock"):
            index = self.size()
            if since is not None:
                for place, known in self.entries(since, index):
                    if known == entry:
                        return place
            while not self._tiles.claim(index, entry):
                self._known = index + 1
                index += 1
            self._known = index + 1
            self._keep_full_blocks(self._known // WIDTH)
        return index

    def size(self) -> int:
        """How many entries there are now."""
        low = self._known or self._hint()
        step = 1
        while self._tiles.entry(low + step - 1) is not None:
            low, step = low + step, step * 2
        high = low + step - 1  # there are `low` entries at least, and none at `high`
        while low < high:
            middle = (low + high) // 2
            if self._tiles.entry(middle) is None:
                high = middle
            else:
                low = middle + 1
        self._known = low
        return low

    def entries(self, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Entries from `start` up to but not `end`, with their places."""
        for index in range(start, end):
            entry = self._tiles.entry(index)
            if entry is None:
                raise StorageError(f"entry {index} of the log is gone")
            yield index, entry

    def root(self, size: int) -> bytes:
        """Root over the first `size` entries."""
        return tree_root(size, self._tiles.subtree)

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Proof that entry `index` is among the first `size`."""
        return inclusion_proof(index, size, self._tiles.subtree)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Proof that the first `old` entries are still the first of `new`."""
        return consistency_proof(old, new, self._tiles.subtree)

    def window(self, start: int, size: int) -> list[bytes]:
        """With all entries from `start` on this gives the root over the first `size`."""
        return window_proof(start, size, self._tiles.subtree)

    def latest(self) -> tuple[Checkpoint, bytes] | None:
        """The last checkpoint that was published, with its note; its signature is not verified."""
        try:
            note = self._store.get(f"{self._prefix}/checkpoint")
        except MissingObjectError:
            return None
        return read_checkpoint(note, "the log's checkpoint"), note

    def publish(self, signer: Signer) -> Checkpoint:
        """Sign and publish the log as it is now, unless a checkpoint of it stands already.

        Of several writers in a bucket the last may publish an older state than another just did; that is a
        beginning of the same log, and the next to publish mends it.

        Raises
        ------
        StorageError
            What was published before is no beginning of what is there now: somebody altered the log, and no
            signature is put under it.
        """
        with self._store.exclusive(f"{self._prefix}/.lock"):
            size = self.size()
            published = self.latest()
            if published and published[0].size >= size:
                return published[0]
            if published and self.root(published[0].size) != published[0].root:
                raise StorageError(
                    f"the log's first {published[0].size} entries are not those of its checkpoint: it was altered"
                )
            checkpoint = Checkpoint(origin=self.origin(), size=size, root=self.root(size))
            self._store.put(f"{self._prefix}/checkpoint", sign_checkpoint(checkpoint, signer))
        return checkpoint

    def audit(self, size: int) -> bytes:
        """Root over the first `size` entries, computed from the entries alone; kept hashes are not believed."""
        rows: list[bytes] = []
        hashes: list[bytes] = []
        for _, entry in self.entries(0, size):
            hashes.append(leaf_hash(entry))
            if len(hashes) == WIDTH:
                rows.append(root_of(hashes))
                hashes = []

        def subtree(level: int, index: int) -> bytes:
            if level >= 8:
                count = 1 << level - 8
                return root_of(rows[index * count : (index + 1) * count])
            offset = (index << level) % WIDTH
            return root_of(hashes[offset : offset + (1 << level)])

        return tree_root(size, subtree)

    def _hint(self) -> int:
        """A size that the log has reached at least: its checkpoint's, when the entry before it is there."""
        published = self.latest()
        if published and published[0].size and self._tiles.entry(published[0].size - 1) is not None:
            return published[0].size
        return 0

    def _keep_full_blocks(self, full: int) -> None:
        """Make tiles of the blocks that are full; whoever should have done it may have been killed."""
        missing = []
        for number in range(full - 1, self._kept_blocks - 1, -1):
            if self._tiles.block(number) is not None:
                break
            missing.append(number)
        for number in reversed(missing):
            block = [entry for _, entry in self.entries(number * WIDTH, (number + 1) * WIDTH)]
            self._tiles.keep_block(number, block)
        self._kept_blocks = full
