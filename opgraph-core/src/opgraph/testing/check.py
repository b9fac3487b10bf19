"""Checks, by name: each holds ops to one promise."""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import ClassVar, TypeVar

import opgraph as og
from opgraph.errors import raised
from opgraph.testing.case import Case, Failed

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

    def promise(self) -> str:
        """Return what the check holds ops to: the first lines of its docstring."""
        return (inspect.getdoc(type(self)) or "").partition("\n\n")[0].replace("\n", " ")

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

    known: dict[str, Callable[[], Check]] = {own.name: own for own in checks.OWN}
    known.update(_installed())
    known.update(_registered)
    for make in known.values():
        yield make()


def _installed() -> dict[str, Callable[[], Check]]:
    """Return the checks of installed packages that are not blocked."""
    found: dict[str, Callable[[], Check]] = {}
    for name, entries in og.registry.installed(CHECKS_GROUP).items():
        unblocked = tuple(entry for entry in entries if not og.registry.is_blocked(entry))
        if unblocked:
            found[name] = functools.partial(_made, name, unblocked)
    return found


@functools.cache  # what cannot be imported may take its time to say so
def _made(name: str, entries: tuple[og.registry.Entry, ...]) -> Check:
    """Return the check that `entries` announce, or one that always fails and says what is wrong with it."""
    try:
        check = og.registry.load(name, list(entries))
        if not (isinstance(check, type) and issubclass(check, Check)):
            raise og.OpLoadError(f"{entries[0]} is no Check class")
        if check.name != name:
            raise og.OpLoadError(f"{entries[0]} is registered under that name, but calls itself {check.name!r}")
        return check()
    except og.OpLoadError as error:
        return Broken(name, error.detail)
    except Exception as error:  # it may raise anything while it is made
        return Broken(name, f"{entries[0]} cannot be made: {raised(error)}")


class Broken(Check):
    """A check of an installed package that cannot be made: it fails for every op, and the others are made.

    Parameters
    ----------
    name
        Under which it is installed.
    why
        What is wrong with it.
    """

    searchable = False

    def __init__(self, name: str, why: str) -> None:
        self.name = name  # type: ignore[misc]  # of others, the class says it
        self.why = f"this check is broken, whatever the op: {why}; mend or uninstall it, or set OPGRAPH_BLOCK={name}"

    def on_op(self, op_class: type[og.Op], seed: int) -> str | None:
        """Fail."""
        raise Failed(self.why, broken=self.name)

    def promise(self) -> str:
        """Return what is wrong."""
        return f"BROKEN: {self.why}"
