"""The same log in a bucket of a real MinIO server, with and without object lock."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tallystick.components.core.errors import MissingObjectError, StorageError
from tallystick.components.core.receipts.keys import generate_key
from tallystick.components.core.receipts.log import Log
from tallystick.components.core.receipts.merkle import leaf_hash, root_of
from tallystick.components.core.storage import BucketStore, open_store
from tests.support.log_crashes import check_nothing_lost_doubled_or_moved, write_with_crashes
from tests.support.minio_server import CREDENTIALS, minio_server


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    with minio_server(tmp_path_factory.mktemp("minio")) as environment:
        yield environment


@pytest.fixture
def client(environment, monkeypatch):
    from minio import Minio

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client = Minio(environment["AWS_ENDPOINT_URL"].removeprefix("http://"), *CREDENTIALS.values(), secure=False)
    for bucket, locked in (("plain", False), ("locked", True)):
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket, object_lock=locked)
    return client


def test_of_many_writers_exactly_one_stores_an_object_once(client):
    store = open_store("s3://plain/once")
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda i: store.put_once("name", b"writer %d" % i), range(16)))
    assert sum(won) == 1
    assert store.get("name") == b"writer %d" % won.index(True)


def test_a_missing_object_and_a_missing_bucket_are_two_things(client):
    with pytest.raises(MissingObjectError):
        open_store("s3://plain/nothing").get("name")
    for action in (lambda s: s.get("name"), lambda s: s.put_once("name", b"")):
        with pytest.raises(StorageError) as caught:
            action(open_store("s3://nowhere/x"))
        assert not isinstance(caught.value, MissingObjectError)
        assert "X-Amz" not in str(caught.value)


def test_a_log_in_a_locked_bucket_is_kept_by_the_bucket_itself(client):
    from minio.commonconfig import COMPLIANCE
    from minio.deleteobjects import DeleteObject
    from minio.objectlockconfig import DAYS, ObjectLockConfig

    client.set_object_lock_config("locked", ObjectLockConfig(COMPLIANCE, 1, DAYS))
    store = open_store("s3://locked/evidence")
    assert isinstance(store, BucketStore)
    log = Log(store)
    entries = [b"entry %d" % i for i in range(260)]
    for entry in entries:
        log.append(entry)
    log.publish(generate_key()[0])
    assert Log(store).size() == 260
    assert Log(store).root(260) == root_of([leaf_hash(entry) for entry in entries])
    version = client.stat_object("locked", "evidence/log/tile/entries/000").version_id
    errors = list(client.remove_objects("locked", [DeleteObject("evidence/log/tile/entries/000", version)]))
    assert len(errors) == 1, "the store let a locked block be deleted"
    assert Log(open_store("s3://locked/evidence")).audit(260) == root_of([leaf_hash(entry) for entry in entries])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_eight_writers_killed_at_random_on_minio(client, environment, tmp_path):
    each = int(os.environ.get("TALLYSTICK_TEST_APPENDS", "800")) // 8
    uri = "s3://plain/crashes"
    crashes = write_with_crashes(uri, tmp_path, writers=8, each=each, pause_s=0.8, environment=environment)
    assert crashes.kills >= 3
    check_nothing_lost_doubled_or_moved(uri, writers=8, each=each)
