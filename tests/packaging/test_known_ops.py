"""What opgraph-core knows of the packages that it does not depend on."""

import tomllib
from pathlib import Path

import opgraph as og

ROOT = Path(__file__).resolve().parents[2]


def test_the_ops_that_an_error_sends_users_to_another_package_for_are_there():
    for package, names in og.registry.KNOWN_ELSEWHERE.items():
        project = tomllib.loads((ROOT / package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        offered = {name.partition(".")[2] for name in project["entry-points"]["opgraph.ops.v1"]}
        assert set(names) == {name for name in offered if not name.startswith("_")}
