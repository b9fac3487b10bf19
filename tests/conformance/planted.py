"""The planted bugs and the correct ops as an installed package has them: with entry points, in every process."""

import os
import sys
from pathlib import Path

from correct import all_correct
from mutants import all_mutants

import opgraph as og

HERE = Path(__file__).parent


def entries() -> dict[str, str]:
    """Return the entry points of all ops, helpers included, by name; a mutant's `entry` may be a wrong one."""
    all_mutants(), all_correct()  # imports them
    found = {}
    for op_class in _subclasses(og.Op):
        package = op_class.__module__.partition(".")[0]
        if package in ("mutants", "correct") and "name" in vars(op_class):
            name, target = getattr(op_class, "entry", (op_class.name, op_class.__qualname__))
            found[name] = f"{op_class.__module__}:{target}"
    return found


def _subclasses(op_class):
    for subclass in op_class.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def install(directory: Path) -> list[str]:
    """Write metadata that announces the ops into `directory`; return what must stand in ``PYTHONPATH``."""
    metadata = directory / "planted-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in sorted(entries().items())]
    (metadata / "entry_points.txt").write_text("\n".join(["[opgraph.ops.v1]", *lines, ""]))
    paths = [str(directory), str(HERE)]
    sys.path[:0] = paths
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
    refresh()
    return paths


def refresh() -> None:
    """Have the registry read metadata again."""
    og.registry.refresh()


__all__ = ["all_correct", "all_mutants", "entries", "install", "refresh"]
