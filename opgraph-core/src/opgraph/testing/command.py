"""``opgraph check``."""

import argparse
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence

import opgraph as og
from opgraph.errors import did_you_mean
from opgraph.testing import html
from opgraph.testing.bench import Settings
from opgraph.testing.check import all_checks
from opgraph.testing.report import Report, Result, alike
from opgraph.testing.runner import known
from opgraph.testing.supervisor import DEFAULT_TIME_LIMIT, checked_all

THOROUGH_TIME_LIMIT = 10 * DEFAULT_TIME_LIMIT
USAGE = 2
MOST_NAMED = 20  # samples that a message lists


def check(args: argparse.Namespace) -> int:
    """Check what the command line names; return 0 if all holds, 1 if not, 2 for wrong usage."""
    if args.list_checks:
        print("\n".join(_promises()))
        return 0
    try:
        names = named_ops(args.names)
        settings = Settings(known(args.only), args.seed, args.thorough)
        if args.thorough:
            import opgraph.testing.thorough  # noqa: F401  here, so that what it lacks is said once
        for path in filter(None, (args.json, args.html)):
            with open(path, "a"):
                pass  # so that a wrong one is told before it has taken minutes
    except (og.ArgumentError, og.UnknownOpError, ImportError, OSError) as error:
        print(f"opgraph check: {error}", file=sys.stderr)
        return USAGE
    start = time.monotonic()
    progress = _Progress(len(names), args.quiet)
    found: list[Result] = []
    limit = args.time_limit or (THOROUGH_TIME_LIMIT if args.thorough else DEFAULT_TIME_LIMIT)
    running = checked_all(names, settings, limit, args.jobs, args.sample, progress.begin)
    try:
        for name, results in running:
            found += results
            progress.end(name, results)
    finally:
        running.close()
        progress.clear()
    report = Report(found)
    for text in alike(report.failures):
        print(f"\n{text}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            file.write(report.to_json())
    if args.html:
        with open(args.html, "w", encoding="utf-8") as file:
            file.write(html.page(report))
    print(f"\n{report.summary()}, {time.monotonic() - start:.1f} s in all")
    if args.sample and found and all("samples" in result.data for result in found):
        print(f"opgraph check: {_no_sample(args.sample, found)}", file=sys.stderr)
        return USAGE
    return 0 if report.ok else 1


def _no_sample(name: str, found: Sequence[Result]) -> str:
    """Return that no op has a sample of that name, and which there are, from results that say so."""
    known = list(dict.fromkeys(sample for result in found for sample in result.data["samples"]))
    there = ", ".join(map(repr, known[:MOST_NAMED])) + ", …" * (len(known) > MOST_NAMED)
    if any(name in result.data["invalid"] for result in found):
        what = (
            f"{name!r} is an invalid sample; the check 'errors' alone looks at those: --only errors, without --sample"
        )
        return f"{what}\n  valid ones are {there or 'none'}"
    return f"no sample is called {name!r}{did_you_mean(name, known)}\n  there are {there or 'none'}"


def named_ops(names: Sequence[str]) -> list[str]:
    """Return the ops that `names` stand for, each an op, a namespace or a distribution, in that order.

    Raises
    ------
    UnknownOpError
        Where a name stands for nothing, or none is given.
    """
    if not names:
        raise og.UnknownOpError("name an op, a namespace or a distribution")
    return list(dict.fromkeys(op for name in names for op in _ops_of(name)))


def _ops_of(name: str) -> list[str]:
    known = og.registry.names()
    installed = og.registry.installed()
    if name in known:
        return [name]
    distribution = name.lower().replace("_", "-")
    owned = [op for op in known if distribution in {entry.distribution for entry in installed.get(op, ())}]
    found = og.registry.names(name) or owned
    if not found:
        flat = [op for op in known if op.partition(".")[2] == name]
        others = {op.partition(".")[0] for op in known} | {e.distribution for es in installed.values() for e in es}
        meant = did_you_mean(flat[0] if flat else name, [*others, *known])
        raise og.UnknownOpError(f"no op, namespace or distribution is installed as {name!r}{meant}")
    return found


def _promises() -> Iterator[str]:
    for check in all_checks():
        yield textwrap.fill(f"{check.name:18} {check.promise()}", 110, subsequent_indent=" " * 19)


class _Progress:
    """What the terminal shows while ops are checked: a line for each, and one that is overwritten."""

    def __init__(self, total: int, quiet: bool) -> None:
        self.total = total
        self.done = 0
        self.quiet = quiet
        self.live = sys.stdout.isatty() and not quiet

    def begin(self, name: str) -> None:
        """Show which op is begun; called from several threads."""
        if self.live:
            print(f"\r\x1b[K[{self.done}/{self.total}] {name} …", end="", flush=True)

    def end(self, name: str, results: Sequence[Result]) -> None:
        """Write the line of an op."""
        self.done += 1
        bad = sum(not result.ok for result in results)
        made = sum(result.status != "not applicable" for result in results)
        self.clear()
        if not results:
            verdict = "nothing to check: composed of other ops"
        elif not made:
            verdict = f"nothing to check: {results[0].detail}"
        elif bad:
            verdict = f"FAILED {bad} of {made}"
        else:
            verdict = f"ok     {made}"
        if bad or not self.quiet:
            seconds = f"  {sum(result.seconds for result in results):.1f} s" if made else ""
            print(f"{name:36} {verdict}{seconds}", flush=True)

    def clear(self) -> None:
        """Take the overwritten line away."""
        if self.live:
            print("\r\x1b[K", end="", flush=True)
