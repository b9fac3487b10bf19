"""Paths and files: written whole or not at all, read with errors that say what is wrong with them."""

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from typing import BinaryIO, TypeAlias

from opgraph.errors import ArgumentError, FileError, MissingFileError, OpgraphError

if sys.platform != "win32":
    import fcntl

StrPath: TypeAlias = str | os.PathLike[str]

# how the names of temporary files begin and end
_START, _END = ".opgraph-", ".tmp"


def with_suffix(path: StrPath, suffixes: Collection[str]) -> str:
    """Return `path` as text, the first of `suffixes` appended where it ends in none of them."""
    try:
        text = os.fsdecode(path)
    except TypeError:
        raise ArgumentError(f"path is a string or a path, not {path!r}") from None
    if os.path.basename(text) in ("", ".", "..") or "\0" in text:
        raise ArgumentError(f"{text!r} is no name of a file")
    return text if text.endswith(tuple(suffixes)) else text + next(iter(suffixes))


def file_to_read(path: StrPath, suffixes: Collection[str]) -> str:
    """Return what `with_suffix` does; raise `MissingFileError` where there is a file at `path` itself instead."""
    target = with_suffix(path, suffixes)
    given = os.fsdecode(path)
    if target != given and os.path.isfile(given) and not os.path.exists(target):
        wanted = " or ".join(suffixes)
        raise MissingFileError(f"{target} does not exist; {given} does, but a file to read here ends in {wanted}")
    return target


def write_file(path: str, write: Callable[[BinaryIO], object]) -> None:
    """Replace the file at `path` by what `write` writes.

    Whoever reads it meanwhile, or after a crash at any moment, finds the old file or the new one, whole.
    A symbolic link stays one; a file that was there leaves its mode to the new one.

    Raises
    ------
    FileError
        Where the system refuses. The old file is then as it was.
    """
    try:
        target = os.path.realpath(path)
        mode = _mode_to_keep(target)
        directory = os.path.dirname(target)
        _remove_stale(directory)
        # named before it is made, so that an interrupt finds out what to remove
        temporary = os.path.join(directory, f"{_START}{os.urandom(8).hex()}{_END}")
        try:
            with _open_locked(temporary, mode) as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
                if sys.platform == "win32":
                    file.close()  # an open file cannot be renamed there
                os.replace(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        _sync_directory(directory)
    except OpgraphError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no directory {os.path.dirname(path)!r} to write to") from error
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def reading(path: str) -> Iterator[None]:
    """Have what goes wrong in a ``with`` that reads a file leave it as an error that names the file.

    Errors of opgraph stay what they are; their messages go on from the path: ``holds no values``.
    """
    try:
        _check_regular(os.stat(path))
        yield
    except OpgraphError as error:
        raise type(error)(f"{path} {error.detail}", *error.notes) from error.__cause__
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist") from error
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # for what is damaged, zipfile, zlib, lzma and NumPy have errors of many kinds
        raise FileError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def _mode_to_keep(target: str) -> int | None:
    """Return the permissions of the file that is to be replaced, None where there is none."""
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return None
    _check_regular(found)
    if not os.access(target, os.W_OK):
        raise PermissionError("it is read-only")
    return stat.S_IMODE(found.st_mode)


def _check_regular(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError("it is a directory" if stat.S_ISDIR(found.st_mode) else "it is no regular file")


def _open_locked(path: str, mode: int | None) -> BinaryIO:
    """Return a new file, locked for as long as it is open; the system unlocks it when the process is killed."""

    def opener(path: str, flags: int) -> int:
        descriptor = os.open(path, flags, 0o666 if mode is None else 0o600)
        if mode is not None and sys.platform != "win32":
            os.fchmod(descriptor, mode)
        return descriptor

    while True:
        file = open(path, "xb", opener=opener)  # noqa: SIM115  # whoever asked for it closes it
        if sys.platform != "win32":
            with contextlib.suppress(OSError):  # some network file systems have no locks
                fcntl.flock(file, fcntl.LOCK_EX)
        # between the two, another save may have taken it for a stale one
        if os.path.exists(path):
            return file
        file.close()


def _remove_stale(directory: str) -> None:
    """Remove the temporary files of saves that were killed: those on which nobody holds a lock."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(_START) and entry.name.endswith(_END) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError), open(entry.path, "r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(entry.path)


def _sync_directory(directory: str) -> None:
    """Have the system write down that a file in `directory` was renamed."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # some file systems cannot
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
