"""What an op declares: its samples."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

import opgraph as og
from opgraph.testing.case import Failed

MOST = 1000  # samples; a generator that never ends must


def declared_samples(op_class: type[og.Op], seed: int = 0) -> list[og.Sample]:
    """Return the op's own samples, drawn with `seed`.

    Raises
    ------
    Failed
        Where there are too many, or they are no samples.
    """
    return listed(op_class.samples(np.random.default_rng(seed)))


def listed(samples: Iterable[og.Sample]) -> list[og.Sample]:
    """Return `samples` as a list; raises as `declared_samples`."""
    given: Any = samples
    if not isinstance(given, Iterable):
        raise Failed(f"samples returns {given!r}; it yields og.Sample(inputs, attrs)")
    found = list(itertools.islice(given, MOST + 1))
    for n, sample in enumerate(found):
        if not isinstance(sample, og.Sample):
            raise Failed(f"samples yields {sample!r} as number {n}; it yields og.Sample(inputs, attrs)")
    if len(found) > MOST:
        raise Failed(f"samples yields more than {MOST} samples; does it end?")
    return found


def named(samples: Iterable[og.Sample]) -> dict[str, og.Sample]:
    """Return samples by name: their id, or their number where they have none or it is taken."""
    found: dict[str, og.Sample] = {}
    for n, sample in enumerate(samples):
        name = sample.id or str(n)
        found[name if name not in found else f"{name}#{n}"] = sample
    return found
