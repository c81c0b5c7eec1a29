"""The log in a folder: what is in it stays, whatever is missing beside the entries is made up for."""

import shutil

import pytest

from tallystick.components.core.errors import InputError, MissingObjectError, StorageError
from tallystick.components.core.receipts.keys import generate_key
from tallystick.components.core.receipts.log import Log
from tallystick.components.core.receipts.merkle import (
    consistent,
    leaf_hash,
    root_from_inclusion,
    root_from_window,
    root_of,
)
from tallystick.components.core.receipts.tiles import Tiles, tile_name
from tallystick.components.core.storage import FolderStore

KEY = generate_key()[0]
COUNT = 600
ENTRIES = [b"entry %d" % i for i in range(COUNT)]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    log = Log(FolderStore(folder))
    for entry in ENTRIES:
        log.append(entry)
    log.publish(KEY)
    return folder


@pytest.fixture
def folder(filled, tmp_path):
    return shutil.copytree(filled, tmp_path / "copy")


def test_places_are_given_in_order_and_a_fresh_reader_finds_the_same(filled):
    log = Log(FolderStore(filled))
    assert log.size() == COUNT
    assert [entry for _, entry in log.entries(0, COUNT)] == ENTRIES


def test_roots_and_proofs_are_those_of_the_entries(filled):
    log = Log(FolderStore(filled))
    hashes = [leaf_hash(entry) for entry in ENTRIES]
    for size in (1, 255, 256, 257, 512, 599, 600):
        root = root_of(hashes[:size])
        assert log.root(size) == root == log.audit(size)
        for index in {0, size // 2, size - 1}:
            assert root_from_inclusion(index, size, hashes[index], log.inclusion(index, size)) == root
        assert consistent(size, COUNT, root, root_of(hashes), log.consistency(size, COUNT))
        assert root_from_window(size - 1, COUNT, hashes[size - 1 :], log.window(size - 1, COUNT)) == root_of(hashes)


def test_an_empty_log_has_no_entries_and_takes_the_first(tmp_path):
    log = Log(FolderStore(tmp_path))
    assert log.size() == 0
    assert log.latest() is None
    assert log.append(b"first") == 0
    assert log.publish(KEY).size == 1


def test_full_blocks_become_tiles_and_leave_nothing_pending(filled):
    store = FolderStore(filled)
    names = store.names("log/")
    assert "log/tile/entries/000" in names
    assert "log/tile/entries/001" in names
    assert {name for name in names if "/pending/" in name} == {f"log/pending/000000002-{i:03d}" for i in range(88)}
    assert [name for name in names if "/tile/1/" in name] == ["log/tile/1/000.p/2"]


@pytest.mark.parametrize("lost", ["tile/0/001", "tile/1/000.p/2", "checkpoint"])
def test_what_follows_from_the_entries_is_made_up_for(folder, lost):
    (folder / "log" / lost).unlink()
    log = Log(FolderStore(folder))
    assert log.root(COUNT) == root_of([leaf_hash(entry) for entry in ENTRIES])
    assert log.append(b"next") == COUNT
    assert log.publish(KEY).size == COUNT + 1


@pytest.mark.parametrize("step", ["tile/entries", "tile/0", "tile/1"])
def test_a_writer_killed_while_a_block_is_made_a_tile_is_made_up_for(tmp_path, monkeypatch, step):
    entries = [b"%d" % i for i in range(258)]
    put_once = FolderStore.put_once

    def dies(self, name, content):
        if name.startswith(f"log/{step}/"):
            raise KeyboardInterrupt
        return put_once(self, name, content)

    log = Log(FolderStore(tmp_path))
    for entry in entries[:255]:
        log.append(entry)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(FolderStore, "put_once", dies)
        log.append(entries[255])
    other = Log(FolderStore(tmp_path))
    assert other.append(entries[255], since=255) == 255
    assert [other.append(entry) for entry in entries[256:]] == [256, 257]
    assert Log(FolderStore(tmp_path)).audit(258) == root_of([leaf_hash(entry) for entry in entries])
    assert other.root(258) == other.audit(258)


def test_a_writer_who_slept_while_the_block_was_filled_and_tidied_up_overwrites_nothing(tmp_path):
    store = FolderStore(tmp_path)
    sleeper = Tiles(store, "log")
    log = Log(store)
    for i in range(257):
        log.append(b"%d" % i)
    assert not store.names("log/pending/000000000-")
    assert sleeper.claim(10, b"late") is False
    assert sleeper.entry(10) == b"10"
    assert not store.names("log/pending/000000000-")


def test_the_same_entry_is_not_added_twice_by_a_writer_who_tries_again(tmp_path):
    log = Log(FolderStore(tmp_path))
    log.append(b"a")
    before = log.size()
    log.append(b"b")
    assert Log(FolderStore(tmp_path)).append(b"b", since=before) == 1
    assert Log(FolderStore(tmp_path)).append(b"b", since=2) == 2


def test_a_log_that_was_altered_gets_no_new_signature(folder):
    (folder / "log" / "pending" / "000000002-010").write_bytes(b"forged")
    log = Log(FolderStore(folder))
    log.append(b"next")
    with pytest.raises(StorageError, match="it was altered"):
        log.publish(KEY)


def test_a_damaged_block_or_tile_is_told_and_not_computed_with(folder):
    entries = folder / "log" / "tile" / "entries" / "000"
    entries.write_bytes(entries.read_bytes()[:-1])
    with pytest.raises(StorageError, match="block 0 of the log: is damaged"):
        list(Log(FolderStore(folder)).entries(0, 1))
    (folder / "log" / "tile" / "0" / "001").write_bytes(b"short")
    with pytest.raises(StorageError, match="is damaged"):
        Log(FolderStore(folder)).root(511)


@pytest.mark.parametrize("size", [0, 65536])
def test_an_entry_that_cannot_stand_in_a_block_is_refused(tmp_path, size):
    with pytest.raises(InputError, match=f"has {size} bytes"):
        Log(FolderStore(tmp_path)).append(b"x" * size)
    assert Log(FolderStore(tmp_path)).append(b"x" * 65535) == 0


def test_a_full_disk_or_a_folder_that_cannot_be_read_is_no_empty_log(folder, monkeypatch):
    def refuse(self, name):
        raise StorageError("no answer")

    monkeypatch.setattr(FolderStore, "get", refuse)
    with pytest.raises(StorageError, match="no answer"):
        Log(FolderStore(folder)).append(b"x")


def test_two_logs_have_two_names(tmp_path):
    one, two = (Log(FolderStore(tmp_path / name)) for name in "ab")
    assert one.origin() == one.origin() != two.origin()


def test_names_of_tiles_are_those_of_the_specification():
    assert [tile_name(n) for n in (0, 67, 999, 1000, 1234067)] == ["000", "067", "999", "x001/000", "x001/x234/067"]


def test_a_missing_object_is_told_from_one_that_cannot_be_read(tmp_path):
    with pytest.raises(MissingObjectError):
        FolderStore(tmp_path).get("nothing")


@pytest.mark.parametrize("name", ["../outside", "log/../../outside", "/outside"])
def test_no_name_leads_out_of_the_store(tmp_path, name):
    store = FolderStore(tmp_path / "store")
    for action in (store.get, lambda n: store.put(n, b"x"), lambda n: store.put_once(n, b"x"), store.remove):
        with pytest.raises(InputError, match="leads out of the store"):
            action(name)
    assert not (tmp_path / "outside").exists()
