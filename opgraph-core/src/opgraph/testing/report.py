"""What a run of the checks found."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["pass", "fail", "inconclusive", "expected", "not applicable"]
BAD: tuple[Status, ...] = ("fail", "inconclusive")


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
        The same for machines: where available the worst index, the values there, the pattern, the seed, the
        command that reproduces it.
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

    @property
    def ok(self) -> bool:
        """Whether this is no failure."""
        return self.status not in BAD

    def __str__(self) -> str:
        where = f"{self.op} {self.check}" + (f" on {self.sample!r}" if self.sample else "")
        return f"{self.status.upper()}: {where}" + (f"\n  {self.detail}".replace("\n", "\n  ") if self.detail else "")


@dataclass(frozen=True)
class Report:
    """The results of checking one op or several."""

    results: Sequence[Result]

    @property
    def ok(self) -> bool:
        """Whether no check failed or was inconclusive, and there was one."""
        return bool(self.results) and all(result.ok for result in self.results)

    @property
    def failures(self) -> list[Result]:
        """The results that are not ok."""
        return [result for result in self.results if not result.ok]

    def to_json(self) -> str:
        """Return the report as a JSON document."""
        return json.dumps({"ok": self.ok, "results": [asdict(r) for r in self.results]}, indent=2, default=str)

    def __str__(self) -> str:
        counts: dict[str, int] = {}
        for result in self.results:
            counts[result.status] = counts.get(result.status, 0) + 1
        summary = ", ".join(f"{n} {status}" for status, n in counts.items()) or "nothing was checked"
        return "\n".join([*map(str, self.failures), summary])
