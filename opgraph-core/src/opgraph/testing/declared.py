"""What an op declares: its samples."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

import opgraph as og
from opgraph.testing import watch
from opgraph.testing.case import Unsampled

MOST = 1000  # samples; a generator that never ends must


def declared_samples(op_class: type[og.Op], seed: int = 0) -> list[og.Sample]:
    """Return the op's own samples, drawn with `seed`.

    Raises
    ------
    Unsampled
        Where there are too many, they are no samples, or the op raises anything instead.
    """
    try:
        return listed(op_class.samples(np.random.default_rng(seed)))
    except (Unsampled, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise Unsampled(watch.explained(error)) from error


def listed(samples: Iterable[og.Sample]) -> list[og.Sample]:
    """Return `samples` as a list; raise `Unsampled` where there are too many, or they are no samples."""
    given: Any = samples
    if not isinstance(given, Iterable):
        raise Unsampled(f"samples returns {given!r}; it yields og.Sample(inputs, attrs)")
    found = list(itertools.islice(given, MOST + 1))
    for n, sample in enumerate(found):
        if not isinstance(sample, og.Sample):
            raise Unsampled(f"samples yields {sample!r} as number {n}; it yields og.Sample(inputs, attrs)")
    if len(found) > MOST:
        raise Unsampled(f"samples yields more than {MOST} samples; does it end?")
    return found


def named(samples: Iterable[og.Sample]) -> dict[str, og.Sample]:
    """Return samples by name: their id, or their number where they have none or it is taken."""
    found: dict[str, og.Sample] = {}
    for n, sample in enumerate(samples):
        name = sample.id or str(n)
        found[name if name not in found else f"{name}#{n}"] = sample
    return found
