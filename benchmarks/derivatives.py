"""How near correct ops come to a verdict against them: the numbers in docs/conformance.md.

    python benchmarks/derivatives.py [--seeds 5] [name ...]

For each op, sample, output and input: the largest ratio of a derivative's distance from differences to what is
allowed, of the estimated error to what is trusted, and the estimated error relative to the derivative; for
`precision` the distance in units of what rounding explains, of which 32 are allowed.
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np

import opgraph as og
from opgraph.testing import Case, Failed
from opgraph.testing.checks import precision
from opgraph.testing.jacobians import analytic_jacobians, is_small, numeric_jacobians
from opgraph.testing.verdict import margins


def cases(names: list[str], seeds: int) -> Iterator[tuple[str, Case]]:
    """Yield every valid sample of every op, with words that name it."""
    for seed in range(seeds):
        for name in names:
            op_class = og.registry.get(name)
            if not (isinstance(op_class, type) and op_class.has_vjp()) or name == "core.stop_gradient":
                continue
            for number, sample in enumerate(op_class.samples(np.random.default_rng(seed))):
                if sample.raises is None:
                    label = sample.id or str(number)
                    yield f"{name} {label!r} seed {seed}", Case.of(op_class, sample, label, seed)


def measure(names: list[str], seeds: int) -> dict[str, list[tuple[float, str]]]:
    """Return every ratio with the name of where it was found."""
    found: dict[str, list[tuple[float, str]]] = {
        "distance / allowed": [],
        "error / trusted": [],
        "error / derivative": [],
        "precision, units of 32": [],
    }
    judged = precision._hold

    def watch(value: np.ndarray, wanted: np.ndarray, room: np.ndarray, unit: float, what: str) -> None:
        size, limits = np.abs(wanted), np.finfo(value.dtype)
        with np.errstate(all="ignore"):
            distance = np.abs(value.astype(wanted.dtype) - wanted)
            seen = np.isfinite(wanted) & (size < 0.25 * float(limits.max)) & (distance > float(limits.tiny))
            ratio = np.where(seen, distance / (unit * size + room), 0.0)
        found["precision, units of 32"].append((float(np.max(ratio, initial=0.0)), f"{where}, {what}, {value.dtype}"))
        judged(value, wanted, room, unit, what)

    precision._hold = watch
    for where, case in cases(names, seeds):
        try:
            precision.Precision().on_case(case)
        except Failed as failure:
            print(where, failure)
        if not (case.has_gradient and is_small(case)):
            continue
        for o in case.outputs:
            for i, analytic in analytic_jacobians(case, o).items():
                numeric = numeric_jacobians(case, i)[o]
                if not analytic.size:
                    continue
                off, rough = margins(analytic, numeric)
                size = np.abs(numeric.value)
                plain = size > 1e-3 * size.max()
                relative = (numeric.error[plain] / size[plain]).max(initial=0.0)
                for key, value in zip(found, (np.nanmax(off), np.nanmax(rough), relative), strict=False):
                    found[key].append((float(value), f"{where}, output {o} by input {i}"))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    start = time.perf_counter()
    found = measure(options.names or og.registry.names(), options.seeds)
    print("| ratio | number | median | 99 % | 99.9 % | largest | where |")
    print("|---|---|---|---|---|---|---|")
    for name, pairs in found.items():
        values = [value for value, _ in pairs]
        quantiles = " | ".join(f"{q:.1g}" for q in np.quantile(values, [0.5, 0.99, 0.999, 1.0]))
        print(f"| {name} | {len(values)} | {quantiles} | {max(pairs)[1]} |")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
