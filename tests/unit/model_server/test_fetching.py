"""Models from a folder, a bucket and MLflow's registry, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.components.core.errors import InputError, StorageError
from tallystick.components.core.model_package import FILES, MANIFEST, ModelPackage, read_package
from tallystick.components.core.storage import FolderStore, open_store
from tallystick.components.model_server import fetching
from tallystick.components.model_server.fetching import fetched_package
from tests.support.minio_server import minio_server


def uploaded(package: ModelPackage, store: object) -> None:
    for name in (MANIFEST, *FILES):
        store.put(name, (package.folder / name).read_bytes())  # type: ignore[attr-defined]


def test_a_folder_is_used_where_it_is(package: ModelPackage) -> None:
    for uri in (str(package.folder), f"file://{package.folder}"):
        with fetched_package(uri) as folder:
            assert folder == package.folder


@pytest.mark.parametrize("uri", ["/nowhere", "file:///nowhere", "gs://bucket/model", "http://host/model"])
def test_what_cannot_be_a_model_is_refused_with_what_can(uri: str) -> None:
    with pytest.raises(InputError, match="models:/name@alias"), fetched_package(uri):
        raise AssertionError("it was fetched")


def test_only_the_packages_own_files_are_fetched_and_nothing_stays(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderStore(tmp_path)
    uploaded(package, store)
    store.put("model.pkl", b"\x80\x04.")
    monkeypatch.setattr(fetching, "open_store", lambda uri: store)
    with fetched_package("s3://models/credit") as folder:
        assert read_package(folder, expected_digest=package.digest).version == package.version
        assert not (folder / "model.pkl").exists()
    assert not folder.exists()


def test_a_bucket_without_the_model_is_an_error_that_names_the_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "open_store", lambda uri: FolderStore(tmp_path))
    with pytest.raises(StorageError, match="manifest"), fetched_package("s3://models/credit"):
        raise AssertionError("it was fetched")


def test_a_machine_without_a_writable_folder_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(fetching.tempfile, "TemporaryDirectory", refused)
    with pytest.raises(InputError, match="emptyDir"), fetched_package("s3://models/credit"):
        raise AssertionError("it was fetched")


def test_a_model_from_a_real_object_store(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with minio_server(tmp_path) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        store = open_store("s3://models/credit")
        store._client.make_bucket("models")  # type: ignore[attr-defined]
        uploaded(package, store)
        with fetched_package("s3://models/credit") as folder:
            assert read_package(folder, expected_digest=package.digest).version == package.version


@pytest.mark.filterwarnings("ignore")  # MLflow's and SQLAlchemy's own deprecations
def test_a_model_from_mlflows_registry(package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    address = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    mlflow.set_tracking_uri(address)
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("served", artifact_location=(tmp_path / "artifacts").as_uri())
    run = client.create_run(experiment)
    client.log_artifacts(run.info.run_id, str(package.folder), "model")
    client.create_registered_model("credit")
    source = f"{run.info.artifact_uri}/model"
    version = client.create_model_version("credit", source, run.info.run_id)
    client.set_registered_model_alias("credit", "champion", version.version)
    for uri in ("models:/credit@champion", f"models:/credit/{version.version}"):
        with fetched_package(uri) as folder:
            assert read_package(folder, expected_digest=package.digest).version == package.version
    with pytest.raises(StorageError, match="cannot be fetched"), fetched_package("models:/credit@nobody"):
        raise AssertionError("it was fetched")
