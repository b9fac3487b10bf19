"""What a run of the checks found."""

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

import opgraph as og

Status = Literal["pass", "fail", "inconclusive", "expected", "not applicable"]
BAD: tuple[Status, ...] = ("fail", "inconclusive")

SCHEMA = "opgraph.conformance/1"
# how `data` is shown below a failure's detail, which says the rest
_SHOWN = {
    "pattern": "it looks like this",
    "smallest": "smallest input found",
    "reproduce": "reproduce with",
}
# what is told first: where it fails, others do in its wake
_ROOTS = ("load", "samples", "determinism", "infer", "reference", "vjp_full", "vjp_probe")
_OF_DERIVATIVES = ("second_order", "jvp", "adjoint", "cotangent_linear", "exact_int", "complex", "stale")
_WAKES = {
    "determinism": (
        *("reference", "broadcast", "layout", "purity", "batch", "rows", "combine", "compiled", "rewrites"),
        *("recompute", "pickle", "save_load", "vjp_full", "vjp_probe", "precision", *_OF_DERIVATIVES),
    ),
    "vjp_full": _OF_DERIVATIVES,
    "vjp_probe": _OF_DERIVATIVES,
}


@dataclass(frozen=True)
class Result:
    """What one check found on one sample of an op, or on the op as a whole.

    Attributes
    ----------
    op, check, sample
        Names; `sample` is empty where the op as a whole was checked.
    status
        ``"expected"`` is a failure that the op declares, with its reason.
    detail
        What was found, in words.
    data
        The same for machines, where available: the worst ``index``; the values ``analytic``, ``numeric``, ``error``
        or ``found``, ``expected`` there; the one-sided derivatives ``left`` and ``right``; the ``pattern``; the
        ``smallest`` input; who ``printed`` and where to, if nothing else is wrong; the class of the error that
        was ``raised`` in the check; whether the op's process was ``lost``; the check that is ``broken``; the
        ``seed``; the command that ``reproduce``\\ s it.
    seconds
        How long it took.
    """

    op: str
    check: str
    sample: str
    status: Status
    detail: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        # what JSON can hold, so that a result is the same in every process
        object.__setattr__(self, "data", {str(key): _plain(value) for key, value in self.data.items()})

    @property
    def ok(self) -> bool:
        """Whether this is no failure."""
        return self.status not in BAD

    def __str__(self) -> str:
        lines = [f"{self.status.upper()}: {self.op}: {place(self)}"]
        lines += [f"  {line}" for line in self.detail.splitlines()]
        lines += [f"  {label}: {self.data[key]}" for key, label in _SHOWN.items() if key in self.data]
        return "\n".join(lines)


def place(result: Any) -> str:
    """Return which check it is, and on which sample."""
    return f"{result.check} on {result.sample!r}" if result.sample else str(result.check)


@dataclass(frozen=True)
class Report:
    """The results of checking one op or several, in an order that depends on them alone."""

    results: Sequence[Result]

    @property
    def ok(self) -> bool:
        """Whether no check failed or was inconclusive, and there was one that held."""
        return all(result.ok for result in self.results) and any(
            result.status in ("pass", "expected") for result in self.results
        )

    @property
    def failures(self) -> list[Result]:
        """The results that are not ok."""
        return [result for result in self.results if not result.ok]

    @property
    def counts(self) -> dict[str, int]:
        """How many results there are of each status."""
        return dict(Counter(result.status for result in self.results))

    def to_json(self) -> str:
        """Return the report as a JSON document, whose form docs/conformance.md describes."""
        document = {
            "schema": SCHEMA,
            "ok": self.ok,
            "versions": {"opgraph": og.__version__, "numpy": np.__version__, "python": platform.python_version()},
            "counts": self.counts,
            "results": [asdict(result) for result in self.results],
        }
        return json.dumps(document, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Return the report that `to_json` wrote."""
        try:
            document = json.loads(text)
            if document["schema"] == SCHEMA:
                return cls([Result(**result) for result in document["results"]])
        except (ValueError, KeyError, TypeError) as error:
            raise og.ArgumentError(f"Report.from_json: this is no report: {error}") from error
        raise og.ArgumentError(f"Report.from_json: schema {document['schema']!r}; this version reads {SCHEMA!r}")

    def __str__(self) -> str:
        """Return the failures in full, alike ones together, and a line that sums up."""
        return "\n\n".join([*alike(self.failures), self.summary()])

    def summary(self) -> str:
        """Return the counts, and the seconds that all checks took together."""
        counts = ", ".join(f"{n} {status}" for status, n in self.counts.items()) or "nothing was checked"
        ops = len({result.op for result in self.results})
        return f"{ops} op{'s' * (ops != 1)}: {counts} in {sum(r.seconds for r in self.results):.1f} s of checking"


def alike(failures: Sequence[Result], most: int = 4) -> list[str]:
    """Return the text of each failure, causes first; what an op does wrong in the same words elsewhere is only counted.

    Where an op prints, it is the same wherever it is the same method that does; a broken check is so for all ops. Of
    what fails where something more basic does, on the same sample or as a whole, only the names of the checks are told.
    """
    told, wakes = _causes(failures)
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in told:
        what = str(result.data.get("printed", result.detail))
        op = "" if "broken" in result.data else result.op
        groups.setdefault((op, result.status, what), []).append(result)
    texts = []
    for group in groups.values():
        first, *others = group
        text = str(first)
        places = [place(r) if r.op == first.op else f"{r.op}: {place(r)}" for r in others[:most]]
        if len(others) > most:
            places.append(f"{len(others) - most} more")
        if places:
            text += f"\n  the same in: {', '.join(places)}"
        wake = [follower for result in group for follower in wakes.get(id(result), ())]
        if wake:
            names = ", ".join(dict.fromkeys(follower.check for follower in wake))
            text += f"\n  also fail, probably of the same cause: {names} ({len(wake)})"
        texts.append(text)
    return texts


def _causes(failures: Sequence[Result]) -> tuple[list[Result], dict[int, list[Result]]]:
    """Return the failures to tell of, for each op the basic ones first, and those in the wake of each, by its id."""
    rank = {check: n for n, check in enumerate(_ROOTS)}
    ops = {op: n for n, op in enumerate(dict.fromkeys(result.op for result in failures))}
    told: list[Result] = []
    wakes: dict[int, list[Result]] = {}
    basic: dict[str, list[Result]] = {}

    def order(result: Result) -> tuple[int, bool, bool, int]:
        # what a check finds says more of a cause than what stops it
        lost = "lost" in result.data
        return ops[result.op], lost, _is_stopped(result), 0 if lost else rank.get(result.check, len(rank))

    for result in sorted(failures, key=order):
        known = basic.setdefault(result.op, [])
        causes = [
            b
            for b in known
            if result.check in _WAKES[b.check]
            and result.sample in (b.sample, "")
            # what is merely too rough to tell is no cause of what is wrong for sure
            and b.status in ("fail", result.status)
            and _is_stopped(b) <= _is_stopped(result)
        ]
        if causes and "printed" not in result.data:
            wakes.setdefault(id(causes[0]), []).append(result)
            continue
        told.append(result)
        if result.check in _WAKES and "lost" not in result.data:
            known.append(result)
    return told, wakes


def _is_stopped(result: Result) -> bool:
    """Whether the check was not made to its end."""
    return "raised" in result.data or "lost" in result.data


def _plain(value: Any) -> Any:
    """Return `value` as JSON has it; what is not finite, complex or strange as text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, bool | int | str | None):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)
