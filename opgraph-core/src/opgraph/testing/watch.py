"""Who does what: which method of which op is running, and what it prints."""

import contextlib
import io
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType
from typing import IO

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
    for frame in frames:
        first = frame.f_locals.get(next(iter(frame.f_code.co_varnames), ""))
        if isinstance(first, og.Op) or (isinstance(first, type) and issubclass(first, og.Op)):
            for method in METHODS:
                if getattr(getattr(first, method, None), "__code__", None) is frame.f_code:
                    return f"{method} of {first.name or first}"
    return ""


def explained(error: BaseException) -> str:
    """Return what `error` says of an op: the method that raised it, and where."""
    innermost = error
    while innermost.__cause__ is not None:
        innermost = innermost.__cause__
    frames = [frame for frame, _ in traceback.walk_tb(innermost.__traceback__)][::-1]
    method = method_in(frames)
    if isinstance(innermost, og.OpgraphError) and not method:
        # the framework found it, and says what it is; the line that made the node is one of the kit's
        notes = error.notes if isinstance(error, og.OpgraphError) else ()
        return "\n".join([getattr(error, "detail", str(error)), *(n for n in notes if not n.startswith("at "))])
    lines = traceback.extract_tb(innermost.__traceback__)
    where = f", at {lines[-1].filename}:{lines[-1].lineno}" if lines else ""
    what = f"SystemExit({innermost.code!r})" if isinstance(innermost, SystemExit) else raised(innermost)
    if method:
        return f"{method} raises {what}{where}"
    return f"the check raises {what}{where}; either the op breaks its contract, or the check is wrong"


_DUMPED = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>\S+)$', re.MULTILINE)


def method_in_dump(dump: str) -> tuple[str, str]:
    """Return the method, and the innermost line, of a stack that `faulthandler` wrote; empty if there is none."""
    frames = list(_DUMPED.finditer(dump))
    own = os.path.dirname(__file__)
    method = next((m["function"] for m in frames if m["function"] in METHODS and not m["file"].startswith(own)), "")
    # what ends a process may do so through a function of the worker's
    where = next((f"{m['file']}:{m['line']}" for m in frames if not m["file"].startswith(own)), "")
    return method, where


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
