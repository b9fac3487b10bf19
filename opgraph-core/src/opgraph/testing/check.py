"""Checks, by name: each holds ops to one promise."""

from collections.abc import Iterator
from typing import ClassVar, TypeVar

import opgraph as og
from opgraph.testing.case import Case

CHECKS_GROUP = "opgraph.checks.v1"


class Check:
    """One promise that ops are held to.

    A subclass names itself and defines `on_op`, which looks at an op as a whole, or `on_case`, which looks at
    one valid sample, or both. They raise `Failed` or `Inconclusive` for what they find, and return a reason,
    a string, where there was nothing to check.

    A check whose findings do not depend on sizes and values says ``searchable = False``: nobody looks for the
    smallest failing input then, nor for failing inputs around a sample.

    Registered with `register_check`, or through an entry point of group ``opgraph.checks.v1`` under its name.
    """

    name: ClassVar[str] = ""
    searchable: ClassVar[bool] = True

    def on_op(self, op_class: type[og.Op], seed: int) -> str | None:
        """Check what does not depend on a sample."""
        return NOTHING

    def on_case(self, case: Case) -> str | None:
        """Check one valid sample."""
        return NOTHING

    @classmethod
    def looks_at_ops(cls) -> bool:
        """Whether the check looks at ops as a whole."""
        return cls.on_op is not Check.on_op

    @classmethod
    def looks_at_cases(cls) -> bool:
        """Whether the check looks at samples."""
        return cls.on_case is not Check.on_case


NOTHING = "nothing to check"
_registered: dict[str, type[Check]] = {}
_CheckT = TypeVar("_CheckT", bound=type[Check])


def register_check(check: _CheckT) -> _CheckT:
    """Have every op held to `check` from now on, in this process. Usable as a decorator."""
    if not (isinstance(check, type) and issubclass(check, Check) and check.name):
        raise og.ArgumentError(f"register_check: {check!r} is no Check class with a name")
    _registered[check.name] = check
    return check


def all_checks() -> Iterator[Check]:
    """Yield every check: those of the kit, those of installed packages, and those registered here."""
    from opgraph.testing import checks  # not at the top: they import this module

    known = {check.name: check for check in checks.OWN}
    for name, entries in og.registry.installed(CHECKS_GROUP).items():
        known[name] = og.registry.load(name, entries)
    for check in {**known, **_registered}.values():
        yield check()
