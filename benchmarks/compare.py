"""How fast opgraph is beside its peers: python benchmarks/compare.py

Does each workload in opgraph and whichever of torch, jax, pytensor, autograd and mygrad is installed, and in a
loop over NumPy written by hand; ``tox -e peers`` has them all. Each library has a process of its own. In each round
every library in turn does the same steps from the same initial values on the same data, while the others are idle.
A library whose results are not those of the others fails.

Prints medians of the time of a step, over the rounds, and their ratios to PyTorch, each round's by itself.
``--markdown`` writes the table as it stands in the documentation.
"""

import argparse
import json
import shlex
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from workloads import TINY_STEPS, WORKLOADS, Workload
from workloads.machine import Others, describe
from workloads.worker import Failure, Worker

# by name in the table: what file of workloads/ does it, on how many threads where not on --threads, and on what alone
LIBRARIES: dict[str, tuple[str, int | None, Sequence[str]]] = {
    "opgraph": ("opgraph", None, tuple(WORKLOADS)),
    "opgraph-1-thread": ("opgraph", 1, ("elementwise",)),
    "torch": ("torch", None, tuple(WORKLOADS)),
    "jax": ("jax", None, tuple(WORKLOADS)),
    "pytensor": ("pytensor", None, tuple(WORKLOADS)),
    "autograd": ("autograd", None, tuple(WORKLOADS)),
    "mygrad": ("mygrad", None, tuple(WORKLOADS)),
    "numpy": ("numpy", None, tuple(WORKLOADS)),
}
BASE = "torch"
FLOOR = "numpy"
SLOW_START = 10  # seconds; where the first result takes longer, it is timed once


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="in how many turns (7)")
    parser.add_argument("--starts", type=int, default=3, help="processes that the first result is timed in (3)")
    parser.add_argument("--threads", type=int, default=2, help="for every library (2)")
    parser.add_argument("--only", nargs="*", default=list(WORKLOADS), choices=WORKLOADS, metavar="WORKLOAD")
    parser.add_argument("--libraries", nargs="*", default=list(LIBRARIES), choices=LIBRARIES, metavar="LIBRARY")
    parser.add_argument("--json", type=Path, metavar="FILE", help="everything that was measured")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="the ratios, where Matplotlib is installed")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="the tables and the machine")
    parser.add_argument(
        "--keep-coretype",
        action="store_true",
        help="leave OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE, which slow a current NumPy, and which an old one may need",
    )
    options = parser.parse_args()
    others = Others()
    report: dict[str, Any] = {
        "command": shlex.join(["python", "benchmarks/compare.py", *sys.argv[1:]]),
        "machine": describe(),
        "threads": options.threads,
        "workloads": {},
    }
    for name in options.only:
        print(f"{name} …", file=sys.stderr)
        rows = report["workloads"][name] = measure(name, options)
        print("\n".join(section(name, rows)), flush=True)
    report["others"] = others.share()
    print("\n".join(conditions(report)))
    if options.markdown:
        sections = [line for name, rows in report["workloads"].items() for line in section(name, rows)]
        options.markdown.write_text("\n".join([*sections, *conditions(report), ""]), encoding="utf-8")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.plot:
        plot(report, options.plot)
    if any("failed" in row for rows in report["workloads"].values() for row in rows.values()):
        sys.exit(1)


def measure(name: str, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return what was found of each library on one workload."""
    workload = WORKLOADS[name]
    rows: dict[str, dict[str, Any]] = {library: {} for library in options.libraries if name in LIBRARIES[library][2]}
    results: dict[str, list[np.ndarray]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        data = folder / "data.npz"
        np.savez(data, **workload.make(np.random.default_rng(0)))
        workers = _started(stack, name, data, rows, options)
        _take_turns(workload, workers, rows, options.rounds)
        for library, worker in workers.items():
            with _failing(rows[library]):
                path = folder / f"{library}.npz"
                rows[library]["memory"] = worker.finish(path)
                with np.load(path) as file:
                    results[library] = list(file.values())
    for library, failure in disagreeing(workload, results):
        rows[library]["failed"] = failure
    return rows


def _started(
    stack: ExitStack, name: str, data: Path, rows: dict[str, dict[str, Any]], options: argparse.Namespace
) -> dict[str, Worker]:
    """Return a worker for each library that is there, having timed the first result in several."""
    workers: dict[str, Worker] = {}
    firsts: dict[str, list[float]] = {library: [] for library in rows}
    for _ in range(options.starts):
        for library, row in rows.items():
            if "missing" in row or "failed" in row or any(first > SLOW_START for first in firsts[library]):
                continue
            module, threads, _ = LIBRARIES[library]
            with _failing(row):
                worker = Worker(module, name, data, threads or options.threads, options.keep_coretype)
                stack.callback(worker.close)
                row |= worker.built
                if library in workers:
                    worker.close()
                elif "missing" not in row:
                    workers[library] = worker
                    row["rounds"] = []
                if "first" in row:
                    firsts[library].append(row["first"])
                    row["first"] = statistics.median(firsts[library])
    return workers


def _take_turns(workload: Workload, workers: dict[str, Worker], rows: dict[str, dict[str, Any]], rounds: int) -> None:
    """Let each library do its steps in each round, in an order of its own; the first is not counted."""
    order = list(workers)
    shuffle = np.random.default_rng(0)
    for number in range(rounds + 1):
        shuffle.shuffle(order)
        for library in order:
            with _failing(rows[library]):
                times = workers[library].run(workload.steps)
                if number:
                    rows[library]["rounds"].append(times)


@contextmanager
def _failing(row: dict[str, Any]) -> Iterator[None]:
    """Note in a row that its library failed, and what it said first."""
    try:
        yield
    except Failure as failure:
        row.setdefault("failed", str(failure))


def disagreeing(workload: Workload, results: dict[str, list[np.ndarray]]) -> Iterator[tuple[str, str]]:
    """Yield the libraries whose results are not those of the hand-written loop, or of the first where it is not there.

    With what is wrong.
    """
    if not results:
        return
    reference = FLOOR if FLOOR in results else next(iter(results))
    for library, arrays in results.items():
        if len(arrays) != len(results[reference]):
            yield library, f"{len(arrays)} results, where {reference} has {len(results[reference])}"
            continue
        for number, (found, wanted) in enumerate(zip(arrays, results[reference], strict=True)):
            if found.shape != wanted.shape or found.dtype != wanted.dtype:
                yield library, f"result {number} is {found.dtype} {found.shape}, not {wanted.dtype} {wanted.shape}"
                break
            off = float(np.max(np.abs(found - wanted)) / np.max(np.abs(wanted)))
            if not off <= workload.tolerance:
                yield library, f"result {number} is {off:.1e} from that of {reference}"
                break


def step_time(row: dict[str, Any]) -> float:
    """Return the median over the rounds of the median time of a step."""
    return statistics.median(map(statistics.median, row["rounds"]))


def ratio(row: dict[str, Any], base: dict[str, Any]) -> float:
    """Return the median over the rounds of how long a step took, relative to another library's in the same round."""
    pairs = zip(row["rounds"], base["rounds"], strict=True)
    return statistics.median(statistics.median(mine) / statistics.median(its) for mine, its in pairs)


def fastest(row: dict[str, Any]) -> float:
    """Return the time of the fastest step, which other work on the machine disturbs least."""
    return min(map(min, row["rounds"]))


def section(name: str, rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the lines about one workload, as the documentation has them."""
    yield f"### {WORKLOADS[name].title}"
    yield ""
    yield from _table(rows)
    for remark in _remarks(name, rows):
        yield ""
        yield remark
    yield ""


def _table(rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    measured = {library: row for library, row in rows.items() if "failed" not in row and "missing" not in row}
    base = measured.get(BASE)
    yield f"| | step, ms | ratio to {BASE} | fastest step, ms | its ratio | first result, ms | memory, MB |"
    yield "|---|---|---|---|---|---|---|"
    for library, row in rows.items():
        if library not in measured:
            yield f"| {library} | {_trouble(row)} | | | | | |"
            continue
        ratios = (f"{ratio(row, base):.2g}", f"{fastest(row) / fastest(base):.2g}") if base else ("", "")
        yield (
            f"| {library} | {step_time(row) * 1e3:.3g} | {ratios[0]} | {fastest(row) * 1e3:.3g} | {ratios[1]} "
            f"| {row['first'] * 1e3:.0f} | {row['memory'] / 1e6:.1f} |"
        )


def _trouble(row: dict[str, Any]) -> str:
    if "failed" in row:
        return f"failed: {row['failed']}"
    return "not part of it" if row["missing"] in WORKLOADS else f"{row['missing']} is not installed"


def _remarks(name: str, rows: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield what follows from a table's rows taken together."""
    times = {library: row for library, row in rows.items() if row.get("rounds") and "failed" not in row}
    if name == "elementwise" and {"opgraph", "opgraph-1-thread"} <= times.keys():
        yield f"One thread takes {ratio(times['opgraph-1-thread'], times['opgraph']):.2f} times as long."
    if name == "tiny" and {"opgraph", FLOOR} <= times.keys():
        over = [
            statistics.median(mine) - statistics.median(bare)
            for mine, bare in zip(times["opgraph"]["rounds"], times[FLOOR]["rounds"], strict=True)
        ]
        best = fastest(times["opgraph"]) - fastest(times[FLOOR])
        yield (
            f"An instruction takes {statistics.median(over) / 2 / TINY_STEPS * 1e6:.2f} µs more than the bare ufunc, "
            f"{best / 2 / TINY_STEPS * 1e6:.2f} µs in the fastest step."
        )


def conditions(report: dict[str, Any]) -> Iterator[str]:
    """Yield on what, and of what, it was measured."""
    machine, rows = report["machine"], [row for some in report["workloads"].values() for row in some.values()]
    versions = {name: number for row in rows for name, number in row.get("versions", {}).items()}
    blas = sorted({found for row in rows for found in row.get("blas", [])})
    yield f"Measured by `{report['command']}` at commit {machine['commit']}:"
    yield ""
    yield f"- {machine['processor']}; {machine['system']}; {report['threads']} threads for every library."
    yield f"- Python {machine['python']}, {', '.join(f'{name} {number}' for name, number in versions.items())}."
    yield f"- BLAS: {'; '.join(blas) or 'none found'}."
    if report["others"] is not None:
        yield f"- Meanwhile other processes took {report['others']:.0%} of the processors' time."
    for name in report["workloads"]:
        workload = WORKLOADS[name]
        yield f"- {name}: {workload.steps} steps a turn; results agree to {workload.tolerance:.0e} of the largest."


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw the ratios as bars."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("matplotlib is not installed, so that nothing is drawn", file=sys.stderr)
        return
    drawn = {n: rows for n, rows in report["workloads"].items() if rows.get(BASE, {}).get("rounds")}
    figure = Figure(figsize=(9, 1 + 1.6 * len(drawn)), layout="constrained")
    axes = figure.subplots(len(drawn), 1, squeeze=False, sharex=True)[:, 0]
    for axis, (name, rows) in zip(axes, drawn.items(), strict=True):
        bars = {n: ratio(row, rows[BASE]) for n, row in rows.items() if row.get("rounds") and "failed" not in row}
        colors = ["tab:orange" if library.startswith("opgraph") else "tab:gray" for library in bars]
        drawn_bars = axis.barh(list(bars), list(bars.values()), color=colors)
        axis.bar_label(drawn_bars, fmt="%.2g", padding=3)
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_xscale("log")
        axis.margins(x=0.1)
        axis.invert_yaxis()
        axis.set_title(name, loc="left", fontsize="medium")
    axes[-1].set_xlabel(f"time of a step, relative to {BASE}")
    figure.savefig(path)


if __name__ == "__main__":
    main()
