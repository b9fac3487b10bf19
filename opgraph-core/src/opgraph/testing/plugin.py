"""``pytest --opgraph-conformance PACKAGE``: a test for each op, sample and check, without a file of tests."""

from collections.abc import Generator, Iterator
from typing import Any

import pytest

import opgraph as og
from opgraph.testing.bench import Settings, Unit
from opgraph.testing.command import THOROUGH_TIME_LIMIT, named_ops
from opgraph.testing.report import Result, place
from opgraph.testing.runner import known
from opgraph.testing.supervisor import DEFAULT_TIME_LIMIT, LocalOp, Supervised, Worker


class Plugin:
    """Collects the ops that the options name, and has them checked in worker processes.

    Parameters
    ----------
    config
        Of the run.
    """

    def __init__(self, config: pytest.Config) -> None:
        thorough = config.getoption("opgraph_thorough")
        try:
            self.names = named_ops(config.getoption("opgraph_conformance"))
            checks = known(config.getoption("opgraph_check"))
            self.settings = Settings(checks, config.getoption("opgraph_seed"), thorough)
            limit = config.getoption("opgraph_time_limit")
            self.time_limit = (THOROUGH_TIME_LIMIT if thorough else DEFAULT_TIME_LIMIT) if limit is None else limit
            if thorough:
                import opgraph.testing.thorough  # noqa: F401  here, so that what it lacks is said once
            self.worker = Worker(self.time_limit)
        except (og.UnknownOpError, og.ArgumentError, ImportError) as error:
            raise pytest.UsageError(f"--opgraph-conformance: {error}") from None
        self.running: OpCollector | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add the ops to what the session collects from the file system."""
        report = yield
        if isinstance(collector, pytest.Session) and report.result is not None:
            report.result.extend(
                OpCollector.from_parent(collector, name=name, nodeid=name, plugin=self) for name in self.names
            )
        return report

    def begin(self, op: "OpCollector") -> None:
        """Have the worker turn to another op."""
        if self.running is not op:
            if self.running is not None:
                self.running.supervised.close()
            self.running = op

    def pytest_unconfigure(self) -> None:
        """End the workers."""
        self.worker.close()


class OpCollector(pytest.Collector):
    """One op.

    Parameters
    ----------
    plugin
        Whose workers check it.
    """

    def __init__(self, *, plugin: Plugin, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plugin = plugin
        self.local = None if self.name in og.registry.installed() else LocalOp(og.registry.get(self.name))
        worker = plugin.worker if self.local is None else Worker(plugin.time_limit, self.local)
        if self.local is not None:
            self.session.config.add_cleanup(worker.close)
        self.supervised = Supervised(self.local or self.name, worker, plugin.settings)

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test for each sample and check."""
        self.plugin.begin(self)
        for unit in self.supervised.units():
            yield ConformanceItem.from_parent(
                self, name="-".join(filter(None, [self.name, unit.sample, unit.check])), unit=unit
            )


class ConformanceItem(pytest.Item):
    """One check on one sample of an op, or on the op as a whole.

    Parameters
    ----------
    unit
        Which.
    """

    parent: OpCollector

    def __init__(self, *, unit: Unit, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.unit = unit

    def runtest(self) -> None:
        """Have the check made, and raise what pytest makes of the result."""
        self.parent.plugin.begin(self.parent)
        tell(self.parent.supervised.run(self.unit))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the kit's words for what it found, without a traceback through the kit."""
        if isinstance(excinfo.value, ConformanceError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, None, str]:
        """Return what stands in the lines of the report."""
        return self.parent.name, None, f"{self.parent.name}: {place(self.unit)}"


class ConformanceError(AssertionError):
    """An op breaks a promise; the message is the kit's report."""


def tell(result: Result) -> None:
    """Raise what makes pytest count a result as failed, skipped or expected to fail."""
    if not result.ok:
        raise ConformanceError(str(result))
    if result.status == "not applicable":
        pytest.skip(result.detail)
    if result.status == "expected":
        pytest.xfail(result.detail)
