"""How fast the log takes entries and how fast a release is verified, with a million entries in the log.

Peers: the same bytes put into files one by one with the same care (what a folder without a log costs), and
SQLite with a full synchronous commit an entry. For proofs there is no peer: the goal is the field's, well under
a second for what a person waits for.
"""

import shutil
import sqlite3
import tempfile
import time
from pathlib import Path

from tallystick.components.core.files import sha256_of_bytes, write_bytes
from tallystick.components.core.receipts.bundle import pack
from tallystick.components.core.receipts.keys import generate_key
from tallystick.components.core.receipts.log import Log
from tallystick.components.core.receipts.merkle import leaf_hash, root_from_inclusion
from tallystick.components.core.receipts.tiles import WIDTH, Tiles
from tallystick.components.core.receipts.verification import verify_bundle
from tallystick.components.core.storage import FolderStore
from tests.support.receipts import MODEL, Desk

MILLION = 1_000_000
APPENDS = 1000


def entry(number: int) -> bytes:
    return b'{"envelope":"%s","kind":"verdict","run":"r%d","step":"evaluation","subject":"%s"}' % (
        sha256_of_bytes(b"%d" % number).encode(), number // 10, sha256_of_bytes(b"m").encode())  # fmt: skip


def measure() -> list[dict]:
    folder = Path(tempfile.mkdtemp(prefix="bench-receipts-", dir="build"))
    try:
        return [*_appends(folder), *_million(folder), *_release(folder)]
    finally:
        shutil.rmtree(folder)


def _row(name, unit, ours, peer, goal, holds):
    return {"name": name, "unit": unit, "ours": ours, "peer": peer, "ratio": ours / peer if peer else None,
            "goal": goal, "holds": holds}  # fmt: skip


def _timed(action) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _appends(folder: Path) -> list[dict]:
    entries = [entry(i) for i in range(APPENDS)]
    key = generate_key()[0]
    log = Log(FolderStore(folder / "small"))
    ours = APPENDS / _timed(lambda: [log.append(e) for e in entries])

    def files():
        for i, content in enumerate(entries):
            write_bytes(folder / "files" / f"{i}", content)

    def both():
        for content in entries[:200]:
            log.append(b"again " + content)
            log.publish(key)

    database = sqlite3.connect(folder / "peer.db", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table log (n integer primary key, entry blob)")
    peer = APPENDS / _timed(lambda: [database.execute("insert into log (entry) values (?)", (e,)) for e in entries])
    database.close()
    plain = APPENDS / _timed(files)
    signed = 200 / _timed(both)
    return [
        _row("log: appends to a folder, peer one file each", "1/s", ours, plain, ">= 0.3 of peer", ours >= 0.3 * plain),
        _row("log: appends to a folder, peer SQLite commits", "1/s", ours, peer, ">= 100 a second", ours >= 100),
        _row("log: append and signed checkpoint", "1/s", signed, None, ">= 50 a second", signed >= 50),
    ]


def _million(folder: Path) -> list[dict]:
    store = FolderStore(folder / "million")
    tiles = Tiles(store, "log")
    blocks = MILLION // WIDTH

    def fill():
        for number in range(blocks):
            tiles.keep_block(number, [entry(number * WIDTH + i) for i in range(WIDTH)])

    filling = _timed(fill)
    key = generate_key()[0]
    log = Log(store)
    for number in range(blocks * WIDTH, MILLION):
        log.append(entry(number))
    checkpoint = log.publish(key)
    assert checkpoint.size == MILLION
    fresh = Log(store)
    append = _timed(lambda: (fresh.append(b"one more"), fresh.publish(key)))
    size, root = MILLION + 1, fresh.root(MILLION + 1)
    proofs: list[tuple[int, list[bytes]]] = []
    proving = _timed(lambda: proofs.extend((i, fresh.inclusion(i, size)) for i in range(0, MILLION, 1000)))
    hashes = {i: leaf_hash(entry(i)) for i, _ in proofs}
    checking = _timed(lambda: [_holds(root, i, size, hashes[i], proof) for i, proof in proofs])
    audited: list[bytes] = []
    audit = _timed(lambda: audited.append(Log(store).audit(MILLION)))
    assert audited == [checkpoint.root]
    return [
        _row("log: fill 1,000,000 entries (tiles)", "1/s", MILLION / filling, None, "shown", None),
        _row("log of 1,000,000: first append and checkpoint of a new process", "s", append, None, "<= 2", append <= 2),
        _row("log of 1,000,000: make an inclusion proof", "ms", proving, None, "<= 20", proving <= 20),
        _row("log of 1,000,000: verify an inclusion proof", "ms", checking, None, "<= 1", checking <= 1),
        _row("log of 1,000,000: verify every entry", "s", audit, None, "<= 30", audit <= 30),
    ]


def _holds(root: bytes, index: int, size: int, leaf: bytes, proof: list[bytes]) -> None:
    assert root_from_inclusion(index, size, leaf, proof) == root


def _release(folder: Path) -> list[dict]:
    (folder / "desk").mkdir()
    desk = Desk(folder / "desk")
    content, trust = pack(desk.parts(desk.release())), desk.trust()
    times = [_timed(lambda: verify_bundle(content, trust, digest=MODEL)) for _ in range(5)]
    assert verify_bundle(content, trust, digest=MODEL).holds
    return [_row("bundle of a release: verify", "s", min(times), None, "<= 1", min(times) <= 1)]
