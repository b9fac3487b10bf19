"""The command line: ``opgraph`` and the subcommands that installed packages add to it."""

import argparse
import inspect
import os
import sys
from collections.abc import Callable, Sequence

from opgraph import __version__, registry
from opgraph.errors import OpgraphError

COMMANDS_GROUP = "opgraph.commands.v1"

# subcommands of packages that a user may ask for before they are installed
_KNOWN_ELSEWHERE = {"demo": "opgraph-vision"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 for success, 1 for failure. Wrong usage exits with 2.

    A package adds a subcommand through an entry point of group ``opgraph.commands.v1``: a function
    ``register(subparsers)`` that adds a parser and sets its default ``run``, a function from the parsed
    arguments to an exit code.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="opgraph", description="An op library for automatic differentiation on NumPy."
    )
    parser.add_argument("--version", action="version", version=f"opgraph-core {__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    _register_ops(subparsers)
    _register_check(subparsers)
    asked = next((word for word in arguments if not word.startswith("-")), None)
    trouble = _register_installed(subparsers, asked)
    if asked in trouble:
        print(f"opgraph {asked}: {trouble[asked]}", file=sys.stderr)
        return 1
    if asked in _KNOWN_ELSEWHERE and asked not in subparsers.choices:
        package = _KNOWN_ELSEWHERE[asked]
        print(f"opgraph {asked} comes with {package}: pip install {package}", file=sys.stderr)
        return 1
    args = parser.parse_args(arguments)
    try:
        code: int = args.run(args)
        sys.stdout.flush()
    except OpgraphError as error:
        print(f"opgraph: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nopgraph: interrupted", file=sys.stderr)
        return 130  # 128 and the number of the signal, as shells have it
    except BrokenPipeError:
        # whoever read our output has read enough; Python would complain once more on its way out
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


def _register_installed(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]", asked: str | None
) -> dict[str, str]:
    """Add the subcommands of installed packages; return what is wrong with those that cannot be loaded.

    Where one is asked for, it alone is loaded, or none for a command of our own, whose name no plugin takes.
    """
    trouble: dict[str, str] = {}
    if asked in subparsers.choices:
        return trouble
    installed = registry.installed(COMMANDS_GROUP)
    for name in [asked] if asked is not None and asked in installed else list(installed):
        entries = installed[name]
        try:
            registry.load(name, entries)(subparsers)
        # whatever a plugin raises, the other commands must work
        except (Exception, SystemExit) as error:
            trouble[name] = str(error) or type(error).__name__
    return trouble


def _register_ops(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("ops", help="list the installed ops, without importing any, or describe one")
    parser.add_argument("name", nargs="?", help="list this namespace alone, or describe the op of this name")
    parser.set_defaults(run=_list_ops)


def _list_ops(args: argparse.Namespace) -> int:
    entries = registry.installed()
    names = [n for n in sorted(entries) if "._" not in n and args.name in (None, n.partition(".")[0])]
    if not names:
        found = [
            name for name in (args.name, *(f"{n}.{args.name}" for n in registry.OWN_DISTRIBUTIONS)) if name in entries
        ]
        return _describe_op(found[0] if found else args.name)
    for name in names:
        print(f"{name:34} {' and '.join(f'{e.distribution} {e.version}' for e in entries[name])}")
    return 0


def _describe_op(name: str) -> int:
    """Print the signature of an op, and the first line of what it says."""
    function = registry.get_function(name) if "." in name else registry.get_flat(name)
    print(f"{name}{inspect.signature(function)}")
    print(f"    {(inspect.getdoc(function) or '').partition(chr(10))[0]}")
    return 0


def _register_check(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "check",
        help="hold ops to every promise of the contract",
        description="Hold ops to every promise of the contract: exit code 0 if all hold, 1 if one does not.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="an op, a namespace, or a distribution")
    parser.add_argument("--only", action="append", metavar="CHECK", help="make this check alone; may be repeated")
    parser.add_argument("--sample", metavar="ID", help="look at this sample alone, by its id or number")
    parser.add_argument("--seed", type=_natural, default=0, metavar="N", help="of all that is random (default: 0)")
    parser.add_argument("--jobs", type=_positive, default=2, metavar="N", help="processes at a time (default: 2)")
    parser.add_argument("--time-limit", type=_seconds, metavar="S", help="seconds for one check on one sample")
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON")
    parser.add_argument("--html", metavar="FILE", help="write the report as one HTML file")
    parser.add_argument("--thorough", action="store_true", help="search around each sample, too; takes long")
    parser.add_argument("--quiet", action="store_true", help="show what fails, and the summary")
    parser.add_argument("--list-checks", action="store_true", help="list the checks, and what each promises")
    parser.set_defaults(run=_check)


def _check(args: argparse.Namespace) -> int:
    from opgraph.testing.command import check  # not at the top: no other command needs the kit

    return check(args)


def _natural(text: str) -> int:
    return int(_number(text, int, lambda value: value >= 0, "a whole number, 0 or more"))


def _positive(text: str) -> int:
    return int(_number(text, int, lambda value: value >= 1, "a whole number, 1 or more"))


def _seconds(text: str) -> float:
    return _number(text, float, lambda value: 0 < value < 1e6, "a number of seconds between 0 and 1,000,000")


def _number(text: str, kind: type[float], fits: Callable[[float], bool], words: str) -> float:
    try:
        value = kind(text)
        if fits(value):
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"must be {words}, not {text!r}")
