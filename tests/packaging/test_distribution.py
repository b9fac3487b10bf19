"""What is built holds what it should, and nothing else."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = {"opgraph-core": "opgraph", "opgraph-nn": "opgraph_nn", "opgraph-vision": "opgraph_vision"}


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, ROOT / "tests/packaging/wheels.py", out], check=True)
    return out


@pytest.fixture(params=MODULES)
def package(request):
    return request.param


@pytest.fixture
def wheel(dist, package):
    (path,) = dist.glob(f"{package.replace('-', '_')}-*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def source_files(package):
    source = ROOT / package / "src"
    return {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and not {"__pycache__", f"{package.replace('-', '_')}.egg-info"} & {*path.parts}
    }


def build_leftovers():
    return {path for package in MODULES for path in (ROOT / package).rglob("*.egg-info")} | {
        path for package in MODULES for path in (ROOT / package).glob("build")
    }


def test_wheel_holds_exactly_the_files_of_the_source_tree(package, wheel):
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == source_files(package)


def test_a_module_left_by_an_earlier_build_is_not_shipped(tmp_path):
    source = shutil.copytree(ROOT / "opgraph-nn", tmp_path / "opgraph-nn", ignore=shutil.ignore_patterns("*.egg-info"))
    stale = source / "build/lib/opgraph_nn/stale.py"
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.write_text("")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", source]
    subprocess.run([*command, "--wheel-dir", tmp_path], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert "opgraph_nn/stale.py" not in zipfile.ZipFile(wheel).namelist()


def test_wheel_is_marked_as_typed(package, wheel):
    assert f"{MODULES[package]}/py.typed" in wheel.namelist()


def test_wheel_names_and_holds_its_licence(wheel):
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    fields = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
    assert fields["License-Expression"] == "MIT"
    assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


@pytest.mark.parametrize("package", ["opgraph-vision"], indirect=True)
def test_vision_wheel_holds_the_digits_with_their_attribution(wheel):
    assert "opgraph_vision/data/digits.npz" in wheel.namelist()
    attribution = wheel.read("opgraph_vision/data/README.md").decode()
    for part in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0"):
        assert part in attribution


def test_sdist_holds_its_licence_and_readme(dist, package):
    (path,) = dist.glob(f"{package.replace('-', '_')}-*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", f"src/{MODULES[package]}/py.typed"} <= names


def test_building_leaves_nothing_in_the_source_tree(tmp_path):
    before = build_leftovers()
    subprocess.run([sys.executable, ROOT / "tests/packaging/wheels.py", tmp_path], check=True)
    assert build_leftovers() == before


def test_installed_entry_points_load(package):
    entries = metadata.distribution(package).entry_points
    assert [entry.name for entry in entries if entry.load() is None] == []
