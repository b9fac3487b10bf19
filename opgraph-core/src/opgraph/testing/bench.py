"""An op on the bench, in this process: what there is to check, and what each check finds."""

import dataclasses
import functools
import shlex
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import opgraph as og
from opgraph.testing import smallest, watch
from opgraph.testing.case import Case, Failed, Unsampled
from opgraph.testing.check import Check, all_checks
from opgraph.testing.declared import declared_samples, listed, named
from opgraph.testing.report import BAD, Result, Status

SAMPLES = "samples"  # the check that speaks of an op's samples
UNSAMPLED = "there are no samples to check on"
# these two stand in the place of a check: where an op cannot even be imported, and for what it declares to fail
LOAD = "load"
EXPECTED = "expected_failures"


class Unit(NamedTuple):
    """The smallest thing that can be checked: one check on one sample, or on the op as a whole."""

    check: str
    sample: str = ""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How ops are checked: what decides a result, besides the op.

    Attributes
    ----------
    checks
        The names of the checks to make; all, if None.
    seed
        Of the op's samples, and of everything random that the checks do.
    thorough
        Whether to search for failures around each sample, too.
    """

    checks: Sequence[str] | None = None
    seed: int = 0
    thorough: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int) or self.seed < 0:
            raise og.ArgumentError(f"the seed must be a whole number, 0 or more, not {self.seed!r}")


class Bench:
    """One op, with its samples and the checks to make.

    Parameters
    ----------
    op_class
        An Op class.
    samples
        Calls to check it on; by default the op's own.
    settings
        How to check it.
    sampled
        Whether to ask for samples at all.
    """

    def __init__(
        self,
        op_class: type[og.Op],
        samples: Iterable[og.Sample] | None = None,
        settings: Settings = Settings(),
        sampled: bool = True,
    ) -> None:
        self.op_class = op_class
        self.settings = settings
        self.checks = {c.name: c for c in all_checks() if settings.checks is None or c.name in settings.checks}
        self.given = samples is not None
        self._cases: dict[str, Case] = {}
        all_samples = self._named(samples) if sampled else {}
        self.samples = {name: sample for name, sample in all_samples.items() if sample.raises is None}
        self.invalid = [name for name in all_samples if name not in self.samples]

    def _named(self, samples: Iterable[og.Sample] | None) -> dict[str, og.Sample]:
        """Return the samples by name: none where the op fails to give any, which check `samples` then tells."""
        if samples is not None:
            found = listed(samples)
        else:
            with watch.listening():
                try:
                    found = declared_samples(self.op_class, self.settings.seed)
                except Unsampled:  # the op can be checked as a whole
                    found = []
                    others = {name: check for name, check in self.checks.items() if name != SAMPLES}
                    self.checks = {SAMPLES: _Unsampled(), **others}
        return named(found)

    def units(self) -> list[Unit]:
        """Return everything there is to check, in the order in which it is done."""
        units = []
        for check in self.checks.values():
            if check.looks_at_ops() and not (check.name == SAMPLES and self.given):
                units.append(Unit(check.name))
            if check.looks_at_cases():
                units += [Unit(check.name, sample) for sample in self.samples]
        if self._declared() and not self.given:
            units.append(Unit(EXPECTED))
        return units

    def _declared(self) -> list[str]:
        """Return the checks that the op declares to fail, of those that are made."""
        info = self.op_class.info
        known = {check.name for check in all_checks()}
        return [name for name in (info.expected_failures if info else ()) if name in self.checks or name not in known]

    def run(self, unit: Unit) -> Result:
        """Return what a check finds."""
        check = _Strict(self) if unit.check == EXPECTED else self.checks[unit.check]
        if unit.sample:
            return self._result(check, unit, functools.partial(self._on_sample, check, unit.sample))
        return self._result(check, unit, functools.partial(check.on_op, self.op_class, self.settings.seed))

    def _on_sample(self, check: Check, name: str) -> str | None:
        if name not in self.samples:  # the process that listed them is gone
            raise Failed(f"samples yielded {name!r} in one process and not in another; it may depend on rng alone")
        if name not in self._cases:  # they remember what several checks need
            self._cases[name] = Case.of(self.op_class, self.samples[name], name, self.settings.seed)
        case = self._cases[name]
        try:
            reason = check.on_case(case)
        except Failed as failure:
            if failure.verdict == "fail" and check.searchable:
                failure.data.setdefault("smallest", smallest.described(smallest.failing(check, case)))
            raise
        if self.settings.thorough and check.searchable:
            from opgraph.testing import thorough  # not at the top: it imports hypothesis

            thorough.search(check, case)
        return reason

    def _result(self, check: Check, unit: Unit, run: Callable[[], str | None]) -> Result:
        status: Status
        data: dict[str, Any] = {}
        start = time.perf_counter()
        with watch.listening() as printed, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they would be printed, or not, depending on who came first
            try:
                reason = run()
                status, detail = ("pass", "") if reason is None else ("not applicable", reason)
            except Unsampled as failure:
                # where that check is not made, who is asked tells
                told = unit.check == SAMPLES or (unit.sample and SAMPLES not in self.checks)
                status, detail = ("fail", failure.detail) if told else ("not applicable", UNSAMPLED)
            except Failed as failure:
                status, detail, data = failure.verdict, failure.detail, dict(failure.data)
            except KeyboardInterrupt:
                raise
            # an op may raise anything, SystemExit too, and the other checks must still be made
            except BaseException as error:
                status, detail, data = "fail", watch.explained(error), {"raised": type(error).__name__}
        seconds = time.perf_counter() - start
        if printed:
            if status not in BAD:  # nothing else is wrong
                detail, data["printed"] = "", list(printed)
            status, detail = "fail", "\n".join(filter(None, [detail, *watch.lines(printed)]))
        result = Result(self.op_class.name, unit.check, unit.sample, status, detail, data, seconds)
        return finished(result, self.op_class, self.settings)


class _Unsampled(Check):
    """The op gives samples at all."""

    name = SAMPLES

    def on_op(self, op_class: type[og.Op], seed: int) -> str | None:
        declared_samples(op_class, seed)
        raise Failed("samples gave none in one try, and some in another; it may depend on rng alone")


class _Strict(Check):
    """What an op declares to fail does fail."""

    name = EXPECTED

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def on_op(self, op_class: type[og.Op], seed: int) -> str | None:
        for name in self._bench._declared():
            if name not in self._bench.checks:
                raise Failed(f"{name!r} is declared to fail, but no check is called so")
            statuses = {self._bench.run(unit).status for unit in self._bench.units() if unit.check == name}
            if "pass" in statuses and "expected" not in statuses:
                raise Failed(f"{name!r} is declared to fail, but passes on every sample; take the declaration out")
        return None


def finished(result: Result, op_class: type[og.Op] | None, settings: Settings) -> Result:
    """Return `result` with what a failure needs besides: how to reproduce it, or the reason why it is expected."""
    if result.status not in BAD:
        return result
    data = {**result.data, "seed": settings.seed, "reproduce": _command(result, op_class, settings)}
    expected = op_class.info.expected_failures if op_class is not None and op_class.info is not None else {}
    if result.check in expected:
        detail = f"{expected[result.check]} ({result.detail})"
        return dataclasses.replace(result, status="expected", detail=detail, data=data)
    return dataclasses.replace(result, data=data)


def _command(result: Result, op_class: type[og.Op] | None, settings: Settings) -> str:
    """Return the line that does it again: of a shell for an installed op, of Python for one that is not."""
    if result.op in og.registry.installed():
        words = ["opgraph", "check", result.op]
        words += ["--only", result.check] if result.check not in (LOAD, EXPECTED) else []
        words += ["--sample", result.sample] if result.sample else []
        words += ["--seed", str(settings.seed)] if settings.seed else []
        return shlex.join([*words, *(["--thorough"] if settings.thorough else [])])
    name = op_class.__name__ if op_class is not None else repr(result.op)
    seed = f", seed={settings.seed}" if settings.seed else ""
    return f"opgraph.testing.check_op({name}, checks=[{result.check!r}]{seed})"
