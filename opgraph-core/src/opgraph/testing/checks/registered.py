"""How an op is found by its name."""

import contextlib
import json
import subprocess
import sys

import opgraph as og
from opgraph.testing.case import Failed
from opgraph.testing.check import Check

SECONDS = 120  # for a process that imports one op
PROGRAM = """
import json, sys
import opgraph as og
try:
    found = og.registry.get(sys.argv[1])
    said = f"{found.__module__}:{found.__qualname__}"
except BaseException as error:
    said = f"{type(error).__name__}: {error}"
print("\\n" + json.dumps(said), flush=True)
"""


class Registered(Check):
    """The op's name leads to it, here and in a fresh process, and to its front door where it has one."""

    name = "registered"

    def on_op(self, op_class: type[og.Op], seed: int) -> str | None:
        name = op_class.name
        if name not in og.registry.names():
            raise Failed(
                f"{name} is not registered; write an entry point of group opgraph.ops.v1 and install the package: "
                f'"{name}" = "{_path(op_class)}"; or call og.register'
            )
        found = og.registry.get(name)
        if found is not op_class:
            raise Failed(f"{name} leads to {_path(found)}, not to {_path(op_class)}")
        _check_front_door(op_class)
        if name in og.registry.installed():
            said = _in_fresh_process(name)
            if said != _path(op_class):
                raise Failed(f"in a fresh process, {name} leads to {said}, not to {_path(op_class)}")
        return None


def _check_front_door(op_class: type[og.Op]) -> None:
    namespace, _, local = op_class.name.partition(".")
    if local.startswith("_"):
        return
    door = og.front_door(op_class)
    if getattr(getattr(og.ops, namespace), local) is not door:
        raise Failed(f"og.ops.{namespace}.{local} is another function than the op's front door")
    is_flat = local in og.registry.flat_names() and og.registry.get_flat(local) is door
    if is_flat and getattr(og, local) is not door:
        raise Failed(f"og.{local} is another function than the op's front door")


def _in_fresh_process(name: str) -> str:
    """Return what a name leads to in a process that imports nothing else, which might end it."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Failed(f"importing {name} takes more than {SECONDS} s") from error
    for line in reversed(done.stdout.splitlines()):  # before it stands what the op printed while it was imported
        with contextlib.suppress(ValueError):
            return str(json.loads(line))
    return f"nothing: the process ended with exit code {done.returncode}"


def _path(found: object) -> str:
    return f"{getattr(found, '__module__', '?')}:{getattr(found, '__qualname__', found)}"
