"""The door of the pytest plugin, apart from opgraph: pytest imports it always, so it must cost nothing.

The plugin itself is `opgraph.testing.plugin`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: "pytest.Parser") -> None:
    """Add the options."""
    group = parser.getgroup("opgraph", "conformance of ops to opgraph's contract")
    group.addoption(
        "--opgraph-conformance",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="add a test for each op, sample and check of a distribution, a namespace or an op; may be repeated",
    )
    group.addoption("--opgraph-check", action="append", metavar="CHECK", help="make this check alone; may be repeated")
    group.addoption("--opgraph-seed", type=int, default=0, metavar="N", help="of all that is random (default: 0)")
    group.addoption("--opgraph-time-limit", type=float, metavar="S", help="seconds for one check on one sample")
    group.addoption("--opgraph-thorough", action="store_true", help="search around each sample, too; takes long")


def pytest_configure(config: "pytest.Config") -> None:
    """Load the plugin where it is asked for."""
    if config.getoption("opgraph_conformance"):
        from opgraph.testing.plugin import Plugin

        config.pluginmanager.register(Plugin(config), "opgraph-conformance")
