"""Conformance as a test of one's own: ``@parametrize_conformance``."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import opgraph as og
from opgraph.testing.bench import Bench, Settings, Unit
from opgraph.testing.extra import missing
from opgraph.testing.runner import known

_TestT = TypeVar("_TestT", bound=Callable[..., Any])


class BoundCheck:
    """What a parametrized test is handed as `check`: call it with `op` and `sample`.

    Attributes
    ----------
    name
        Of the check.
    """

    def __init__(self, bench: Bench, unit: Unit) -> None:
        self.name = unit.check
        self._bench = bench
        self._unit = unit

    def __call__(self, op: type[og.Op], sample: og.Sample | None = None) -> None:
        """Make the check; raise `AssertionError` for what it finds, skip where there is nothing to check.

        Handed another op, or another sample than its own, it looks at those.
        """
        from opgraph.testing.plugin import tell  # not at the top: it imports pytest

        bench, unit = self._bench, self._unit
        if op is not bench.op_class or sample is not bench.samples.get(unit.sample):
            bench = Bench(op, None if sample is None else [sample], bench.settings)
            unit = Unit(unit.check, "" if sample is None else next(iter(bench.samples)))
        tell(bench.run(unit))

    def __repr__(self) -> str:
        return self.name


def parametrize_conformance(
    ops: str | type[og.Op] | Sequence[str | type[og.Op]],
    checks: Sequence[str] | str | None = None,
    seed: int = 0,
) -> Callable[[_TestT], _TestT]:
    """Run a test function once for each op, sample and check::

        @parametrize_conformance("acme-ops")
        def test_conformance(op, sample, check):
            check(op, sample)

    The checks are made in pytest's own process, where a debugger and the measuring of coverage work. An op that
    crashes it is told apart by ``pytest --opgraph-conformance`` alone.

    Parameters
    ----------
    ops
        Op classes, or names: of ops, namespaces or distributions.
    checks
        The names of the checks to make, or the name of one; by default all.
    seed
        Of the ops' samples, and of everything random that the checks do.
    """
    try:
        import pytest  # not at the top: the kit works without it
    except ImportError as error:
        raise missing("parametrize_conformance", error) from error

    settings = Settings(known(checks), seed)
    given = [ops] if isinstance(ops, str | type) else list(ops)
    parameters = [
        pytest.param(
            bench.op_class,
            bench.samples.get(unit.sample),
            BoundCheck(bench, unit),
            id="-".join(filter(None, [bench.op_class.name, unit.sample, unit.check])),
        )
        for op_class in _classes(given)
        for bench in [Bench(op_class, None, settings)]
        for unit in bench.units()
    ]
    return pytest.mark.parametrize(("op", "sample", "check"), parameters)


def _classes(ops: Sequence[str | type[og.Op]]) -> Iterator[type[og.Op]]:
    from opgraph.testing.command import named_ops  # not at the top: it imports this package

    for op in ops:
        for target in map(og.registry.get, named_ops([op])) if isinstance(op, str) else [op]:
            if isinstance(target, type):  # functions composed of ops have nothing of their own to check
                yield target
