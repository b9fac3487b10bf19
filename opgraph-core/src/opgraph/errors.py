"""Every exception that opgraph raises.

Each derives from `OpgraphError` and from the built-in that fits, so ``except ValueError`` works too.
The message says what was asked, of which op and node, what came, and what to do; its last line is the
line of the user's own file where the node was made.
"""

import contextlib
import functools
import linecache
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from types import FrameType
from typing import Any, Self


class OpgraphError(Exception):
    """The base of every exception here; `detail` is the message, `notes` the lines that place it."""

    def __init__(self, detail: object = "", *notes: str) -> None:
        super().__init__(detail, *notes)
        self.detail = str(detail)
        self.notes = notes

    def __str__(self) -> str:
        return "\n  ".join((self.detail, *self.notes))

    def located(self, what: str, inputs: str = "", source: "Source | None" = None) -> Self:
        """Return this error placed: which op or function, what went in, and the user's line.

        One that was placed already, further in, stays as it is.
        """
        if self.notes:
            return self
        detail = self.detail if self.detail.startswith(f"{what}: ") else f"{what}: {self.detail}"
        error = type(self)(detail, *filter(None, (inputs, str(source or ""))))
        error.__cause__ = self.__cause__
        return error

    def within(self, what: str, source: "Source | None") -> Self:
        """Return this error placed in `what`, which was called at `source`.

        One that was placed at that line already is given the name of `what` before the one that it has; one
        that was placed at another line stays as it is.
        """
        if not self.notes or self.notes[-1] != str(source) or self.detail.startswith(f"{what}: "):
            return self.located(what, source=source)
        error = type(self)(f"{what}: {self.detail}", *self.notes)
        error.__cause__ = self.__cause__
        return error


class ShapeError(OpgraphError, ValueError):
    """Shapes that do not fit together."""


class DtypeError(OpgraphError, TypeError):
    """A value whose dtype the operation cannot take."""


class NoValueError(DtypeError):
    """A node where a value is needed: nodes have none before they are run, and never change."""


class ArgumentError(OpgraphError, ValueError, TypeError):
    """An attribute or argument outside of what the operation allows."""


class GraphError(OpgraphError, ValueError):
    """Nodes that do not belong together, or a graph asked for what it does not hold."""


class FeedError(OpgraphError, ValueError, KeyError):
    """A feed that is missing, that nothing asks for, or whose value does not fit its placeholder."""


class UninitializedError(OpgraphError, ValueError):
    """A variable was read before it had a value."""


class GradientError(OpgraphError, ValueError):
    """A gradient that does not exist, or an op's `vjp` that breaks its contract."""


class KernelError(OpgraphError, RuntimeError):
    """A kernel raised, or an op's `infer`, `view` or `compute` broke its contract."""


class NonFiniteError(OpgraphError, ArithmeticError):
    """A value went NaN or infinite in a run that checks for it."""


class OpLoadError(OpgraphError, ImportError):
    """An installed op that cannot be imported, or that two distributions claim."""


class ReadOnlyError(OpgraphError, AttributeError):
    """An attribute that is not for others to set."""


class UnknownOpError(OpgraphError, AttributeError):
    """A name under which no op is installed."""


class FileError(OpgraphError, OSError, ValueError):
    """A file that cannot be read or written, or that is not what it should be.

    Where the system refused, its own error is the ``__cause__``.
    """

    def __init__(self, detail: object = "", *notes: str) -> None:
        super().__init__(detail)  # of several arguments, OSError takes two for a number and a file name
        self.args = (detail, *notes)
        self.notes = notes


class MissingFileError(FileError, FileNotFoundError):
    """A file that is not there."""


@dataclass(frozen=True, slots=True)
class Source:
    """A line of the user's program."""

    filename: str
    line: int

    def __str__(self) -> str:
        text = linecache.getline(self.filename, self.line).strip()
        return f"at {self.file}:{self.line}" + (f": {text}" if text else "")

    @property
    def file(self) -> str:
        """The file's name without its directory."""
        return self.filename if self.filename.startswith("<") else os.path.basename(self.filename)


_hidden_packages = {"opgraph"}
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep


def hide_frames(package: str) -> None:
    """Leave the frames of `package` out when an error looks for the user's own line.

    A plugin calls it once, in its ``__init__``: ``og.hide_frames(__name__)``. Packages whose ops are
    found through entry points are hidden without asking.
    """
    _hidden_packages.add(package.partition(".")[0])


@functools.lru_cache(maxsize=4096)  # a loop that builds a graph stays on a few lines
def _source(filename: str, line: int) -> Source:
    return Source(filename, line)


def user_source() -> Source | None:
    """Return the innermost line of the call stack that is the user's own, None where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        # a dataclass's generated methods run under their class's module name, so no special case
        package = (frame.f_globals.get("__name__") or "").partition(".")[0]
        if package not in _hidden_packages and not (
            package in sys.stdlib_module_names and _is_of_standard_library(frame.f_code.co_filename)
        ):
            return _source(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def _is_of_standard_library(filename: str) -> bool:
    # a user's file may be called random.py
    return filename.startswith((_STANDARD_LIBRARY, "<frozen "))


@contextlib.contextmanager
def placing(what: str, source: Source | None) -> Iterator[None]:
    """Have an error that leaves a ``with`` say `what` was asked, and where."""
    try:
        yield
    except OpgraphError as error:
        raise error.located(what, source=source) from error.__cause__


def raised(error: BaseException) -> str:
    """Return in words what a kernel raised; of one that wrote over its inputs, that it must not."""
    what = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, ValueError) and "read-only" in str(error):  # NumPy does not say which array is
        what += "; inputs are read-only, a kernel writes to its outputs and scratch alone"
    return what


def did_you_mean(name: str, known: Any) -> str:
    """Return ``"; did you mean 'x'?"`` for the known name closest to `name`, or nothing."""
    meant = closest_name(name, known)
    return "" if meant is None else f"; did you mean {meant!r}?"


def closest_name(name: str, known: Any) -> str | None:
    """Return the known name that `name` may be a slip of, None where none is close."""
    name = str(name)
    candidates = list(known)
    if len(name) <= 5:  # short names are alike by chance: sin is not min, nor matmul mul
        candidates = [k for k in candidates if k[:1] == name[:1] and abs(len(k) - len(name)) <= 1]
    close = get_close_matches(name, candidates, n=max(len(candidates), 1), cutoff=0.66)
    swapped = [k for k in close if sorted(k) == sorted(name)]  # the same letters: tahn is tanh, not tan
    return next(iter(swapped or close), None)
