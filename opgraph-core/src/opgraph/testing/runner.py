"""Checking one op."""

from collections.abc import Iterable, Iterator, Sequence

import opgraph as og
from opgraph.errors import did_you_mean
from opgraph.testing.bench import Bench, Settings
from opgraph.testing.case import Unsampled
from opgraph.testing.channel import has_fork
from opgraph.testing.check import all_checks
from opgraph.testing.declared import listed
from opgraph.testing.report import Report, Result
from opgraph.testing.supervisor import DEFAULT_TIME_LIMIT, LocalOp, checked


def check_op(
    op: type[og.Op] | str,
    *,
    samples: Iterable[og.Sample] | None = None,
    checks: Sequence[str] | str | None = None,
    seed: int = 0,
    time_limit: float = DEFAULT_TIME_LIMIT,
    in_process: bool = False,
) -> Report:
    """Hold an op to every promise of the contract.

    It is checked in another process, so that it may loop for ever or crash. That is a new one for the name of
    an installed op, a fork of this one for a class, for samples of your own, and for what was registered by hand.

    Parameters
    ----------
    op
        An Op class, or the name under which one is registered.
    samples
        Calls to check it on; by default the op's own.
    checks
        The names of the checks to run, or the name of one; by default all.
    seed
        Of the op's samples, and of everything random that the checks do.
    time_limit
        How many seconds one check may take on one sample.
    in_process
        Whether to check it in this process, for a debugger. So it is anyway where the platform cannot
        safely fork (Windows, macOS) and no new process could find the op.

    Raises
    ------
    ArgumentError
        Where `op` is none, no check has one of the names in `checks`, or `samples` are none.
    """
    settings = Settings(known(checks), seed)
    try:
        samples = samples if samples is None else listed(samples)
    except Unsampled as error:
        raise og.ArgumentError(f"check_op: {error}") from None
    if isinstance(op, str):
        if op in og.registry.installed() and samples is None and not in_process:
            return Report(list(checked(op, settings, time_limit)))
        op = og.registry.get(op)
    if not (isinstance(op, type) and issubclass(op, og.Op)):
        raise og.ArgumentError(f"check_op: {op!r} is no Op class, nor the name of one")
    if has_fork() and not in_process:
        return Report(list(checked(LocalOp(op, samples), settings, time_limit)))
    return Report(list(results(op, samples, settings.checks, seed)))


def results(
    op_class: type[og.Op],
    samples: Iterable[og.Sample] | None = None,
    checks: Sequence[str] | None = None,
    seed: int = 0,
) -> Iterator[Result]:
    """Yield what each check finds, as it is found, in this process."""
    bench = Bench(op_class, samples, Settings(checks, seed))
    return map(bench.run, bench.units())


def known(checks: Sequence[str] | str | None) -> Sequence[str] | None:
    """Return names of checks, a list also of a single one; raise where one is unknown."""
    if isinstance(checks, str):
        checks = [checks]
    names = [check.name for check in all_checks()]
    for name in checks or ():
        if name not in names:
            raise og.ArgumentError(f"no check is called {name!r}" + did_you_mean(name, names))
    return checks
