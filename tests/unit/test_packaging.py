"""What editable installs hide: a package that the wheel would miss, a lock that does not hold."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted([*ROOT.glob("requirements/*.txt"), *ROOT.glob("components/*/requirements.txt")])
PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", re.MULTILINE)


def test_every_folder_with_code_is_a_package_of_the_wheel():
    folders = {
        f"tallystick.{init.parent.relative_to(ROOT).as_posix().replace('/', '.')}"
        for top in ("components", "pipelines")
        for init in (ROOT / top).rglob("__init__.py")
    }
    assert folders == set(PROJECT["tool"]["setuptools"]["packages"])


def test_no_module_lies_outside_a_package():
    homeless = [
        path
        for top in ("components", "pipelines")
        for path in (ROOT / top).rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    ]
    assert homeless == []


def test_every_image_folder_is_complete():
    for dockerfile in ROOT.glob("components/*/Dockerfile"):
        present = {path.name for path in dockerfile.parent.iterdir()}
        assert {"README.md", "requirements.in", "requirements.txt"} <= present, dockerfile.parent


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_lock_pins_everything_with_hashes_and_names_no_host(lock):
    text = lock.read_text()
    assert "://" not in text
    assert "--index" not in text
    blocks = re.split(r"\n(?=\S)", text.strip())
    for block in blocks:
        if block.startswith("#"):
            continue
        assert PIN.match(block), block
        assert "--hash=sha256:" in block, block


def test_all_locks_agree_on_versions():
    local = set(PIN.findall((ROOT / "requirements" / "local.txt").read_text()))
    names = {name for name, _ in local}
    for lock in LOCKS:
        pinned = {pin for pin in PIN.findall(lock.read_text()) if pin[0] in names}
        assert pinned <= local, (lock, pinned - local)


def test_images_are_locked_for_every_dockerfile():
    import json

    images = json.loads((ROOT / "components" / "images.lock.json").read_text())["images"]
    assert {path.parent.name for path in ROOT.glob("components/*/Dockerfile")} == set(images)
