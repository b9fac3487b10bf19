"""Who does what: which method of which op is running, and what it prints."""

import contextlib
import io
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import IO

import numpy as np

import opgraph as og
from opgraph.errors import raised

METHODS = (
    "infer",
    "compute",
    "vjp",
    "samples",
    "view",
    "scratch",
    "shape_only",
    "dtypes",
    "bind",
    "read_by",
    "batch",
    "by_rows",
    "flops",
)
LONGEST = 100  # characters of printed text that are shown


def method_in(frames: Iterable[FrameType]) -> str:
    """Return the first of `frames`, innermost first, that is an op's method: ``"compute of acme.gaussian"``."""
    return _method(frames)[0]


def _method(frames: Iterable[FrameType]) -> tuple[str, FrameType | None]:
    """Return what `method_in` does, and the frame."""
    for frame in frames:
        first = frame.f_locals.get(next(iter(frame.f_code.co_varnames), ""))
        if isinstance(first, og.Op) or (isinstance(first, type) and issubclass(first, og.Op)):
            for method in METHODS:
                if getattr(getattr(first, method, None), "__code__", None) is frame.f_code:
                    return f"{method} of {first.name or first}", frame
    return "", None


def explained(error: BaseException) -> str:
    """Return what `error` says of an op: the method that raised it, and where."""
    innermost = error
    while innermost.__cause__ is not None:
        innermost = innermost.__cause__
    frames = [frame for frame, _ in traceback.walk_tb(innermost.__traceback__)][::-1]
    method, its_frame = _method(frames)
    if isinstance(innermost, og.OpgraphError) and not method:
        # the framework found it, and says what it is; the line that made the node is one of the kit's
        notes = error.notes if isinstance(error, og.OpgraphError) else ()
        return "\n".join([getattr(error, "detail", str(error)), *(n for n in notes if not n.startswith("at "))])
    lines = [(line.filename, line.lineno or 0) for line in traceback.extract_tb(innermost.__traceback__)][::-1]
    where = _where(lines, its_frame.f_code.co_filename if its_frame is not None else "")
    what = f"SystemExit({innermost.code!r})" if isinstance(innermost, SystemExit) else raised(innermost)
    if method:
        return f"{method} raises {what}{where}"
    return f"the check raises {what}{where}; either the op breaks its contract, or the check is wrong"


def _where(lines: Sequence[tuple[str, int]], file: str) -> str:
    """Return the innermost of `lines` in `file`, else outside of libraries, else of all; empty if there is none."""
    for belongs in (file.__eq__, lambda name: not _is_of_library(name), lambda name: True):
        for name, line in lines:
            if belongs(name):
                return f", at {name}:{line}"
    return ""


def _is_of_library(file: str) -> bool:
    """Whether a file is Python's, NumPy's or opgraph's, where nobody looks for what is wrong with an op."""
    installed = ("site-packages", "dist-packages")  # they lie in the folder of Python's own library
    own = file.startswith(_STANDARD_LIBRARY) and not any(f"{os.sep}{name}{os.sep}" in file for name in installed)
    return own or file.startswith(("<frozen ", *_LIBRARIES))


_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
_LIBRARIES = (np.__path__[0] + os.sep, og.__path__[0] + os.sep)
_DUMPED = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>\S+)$', re.MULTILINE)


def method_in_dump(dump: str) -> tuple[str, str]:
    """Return the method, and its innermost line, of a stack that `faulthandler` wrote; empty if there is none."""
    own = os.path.dirname(__file__)
    # what ends a process may do so through a function of the worker's
    frames = [m for m in _DUMPED.finditer(dump) if not m["file"].startswith(own)]
    methods = [m for m in frames if m["function"] in METHODS]
    # Python and NumPy have functions of such names as well
    method = next((m for m in methods if not _is_of_library(m["file"])), methods[0] if methods else None)
    where = _where([(m["file"], int(m["line"])) for m in frames], method["file"] if method else "")
    return method["function"] if method else "", where


class _Recorder(io.TextIOBase):
    """Stands in for a standard stream, and records what is written to it, and by whom."""

    def __init__(self, name: str, printed: dict[str, str]) -> None:
        self.name = name
        self.printed = printed

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        method = method_in(frame for frame, _ in traceback.walk_stack(sys._getframe(1))) or "no method of an op"
        what = f"prints to {self.name} in {method}"
        so_far = self.printed.get(what, "")
        if len(so_far) <= LONGEST:
            self.printed[what] = so_far + text
        return len(text)


native: IO[bytes] | None = None  # where a worker's file descriptors 1 and 2 lead


@contextlib.contextmanager
def listening() -> Iterator[dict[str, str]]:
    """Give a mapping that holds, afterwards, what was printed meanwhile: by who printed where, what."""
    printed: dict[str, str] = {}
    parts: dict[str, str] = {}
    before = _written()
    out, err = _Recorder("stdout", parts), _Recorder("stderr", parts)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield printed
    if native is not None and _written() > before:
        native.seek(before)
        parts["writes to the file descriptor of stdout or stderr"] = native.read().decode(errors="replace")
    printed.update({what: _shortened(text) for what, text in parts.items() if text.strip()})


def lines(printed: Mapping[str, str]) -> list[str]:
    """Return what `listening` found, in words."""
    return [f"{what}: {text}" for what, text in printed.items()]


def _written() -> int:
    return 0 if native is None else os.fstat(native.fileno()).st_size


def _shortened(text: str) -> str:
    text = "\n".join(dict.fromkeys(text.strip().splitlines()))  # a kernel is called often
    return repr(text if len(text) <= LONGEST else f"{text[:LONGEST]}…")
