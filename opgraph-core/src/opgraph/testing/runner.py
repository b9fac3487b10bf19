"""Running the checks on ops."""

import functools
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

import opgraph as og
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import Check, all_checks
from opgraph.testing.report import BAD, Report, Result, Status


def check_op(
    op: type[og.Op] | str,
    *,
    samples: Iterable[og.Sample] | None = None,
    checks: Sequence[str] | None = None,
    seed: int = 0,
) -> Report:
    """Hold an op to every promise of the contract.

    Parameters
    ----------
    op
        An Op class, or the name under which one is registered.
    samples
        Calls to check it on; by default the op's own.
    checks
        The names of the checks to run; by default all.
    seed
        Of the op's samples, and of everything random that the checks do.
    """
    op_class = og.registry.get(op) if isinstance(op, str) else op
    if not (isinstance(op_class, type) and issubclass(op_class, og.Op)):
        raise og.ArgumentError(f"check_op: {op!r} is no Op class, nor the name of one")
    return Report(list(results(op_class, samples, checks, seed)))


def results(
    op_class: type[og.Op],
    samples: Iterable[og.Sample] | None = None,
    checks: Sequence[str] | None = None,
    seed: int = 0,
) -> Iterator[Result]:
    """Yield what each check finds, as it is found."""
    chosen = [check for check in all_checks() if checks is None or check.name in checks]
    given = list(op_class.samples(np.random.default_rng(seed)) if samples is None else samples)
    valid = [(sample, sample.id or str(n)) for n, sample in enumerate(given) if sample.raises is None]
    cases: dict[int, Case] = {}  # they remember what several checks need
    for check in chosen:
        if check.looks_at_ops():
            yield _result(op_class, check, "", seed, functools.partial(check.on_op, op_class, seed))
        for number, (sample, name) in enumerate(valid if check.looks_at_cases() else ()):
            make = functools.partial(Case.of, op_class, sample, name, seed)
            yield _result(op_class, check, name, seed, functools.partial(_on_sample, check, cases, number, make))


def _on_sample(check: Check, cases: dict[int, Case], number: int, make: Callable[[], Case]) -> str | None:
    if number not in cases:
        cases[number] = make()
    return check.on_case(cases[number])


def _result(op_class: type[og.Op], check: Check, sample: str, seed: int, run: Callable[[], str | None]) -> Result:
    """Return what `run` finds, be it a failure that the op declares."""
    expected = op_class.info.expected_failures if op_class.info is not None else {}
    status: Status
    start = time.perf_counter()
    data: dict[str, Any] = {}
    try:
        reason = run()
        status, detail = ("pass", "") if reason is None else ("not applicable", reason)
    except Failed as failure:
        status, detail, data = failure.verdict, failure.detail, failure.data
    except og.OpgraphError as error:
        status, detail = "fail", str(error)
    # an op may raise anything, and the other checks must still be made
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        status, detail = "fail", f"{type(error).__name__}: {error}, at {where.filename}:{where.lineno}"
    if status in BAD:
        data = {
            **data,
            "seed": str(data.get("seed", 0)),
            "reproduce": f"opgraph check {op_class.name} --only {check.name}",
        }
        if check.name in expected:
            status, detail = "expected", f"{expected[check.name]} ({detail})"
    return Result(op_class.name, check.name, sample, status, detail, data, time.perf_counter() - start)
