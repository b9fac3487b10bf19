"""Gradients where a function has none: at kinks, jumps and ties."""

import math
from collections.abc import Iterator

import numpy as np

from opgraph.testing.case import Case, Failed, real_view
from opgraph.testing.check import NOTHING
from opgraph.testing.derivatives import DerivativeCheck
from opgraph.testing.jacobians import Floats, analytic_jacobians, between, is_small, parted, sides_at, values_by
from opgraph.testing.numeric import along, size_of

NEAR = 2.0**-16  # how far the points around lie, of the input's size: farther than rounding, nearer than other kinks
MOST_POINTS = 6  # around a kink, on each side; around a tie there are as many as elements
DIFFERENT = 1e-3  # of the largest derivative; below, derivatives around a place count as one
SUMS = 1e-3  # of the largest derivative: it is compared with those of points nearby


class Kink(DerivativeCheck):
    """At declared kinks and at ties the gradient lies between those around, and ties share it as is declared."""

    name = "kink"

    def hold(self, case: Case) -> str | None:
        places = [*_at_kinks(case), *_at_ties(case)] if is_small(case) else []
        looked = 0
        for what, moved, tied in places:
            found = [part for part in moved.compute() if part.dtype.kind in "fc"]
            if all(np.isfinite(part).all() for part in found):
                _hold(moved, what, tied)
                looked += 1
        return None if looked else NOTHING


def _at_kinks(case: Case) -> Iterator[tuple[str, Case, bool]]:
    """Yield the op at each declared kink: one element there, one input, all inputs."""
    reals = [i for i in case.differentiable if case.inputs[i].dtype.kind == "f" and case.inputs[i].size]
    for kink in case.info.kinks:
        for i in reals:
            low, high = case.domain(i)
            if not low < kink < high:
                continue
            one = case.inputs[i].copy()
            one.flat[one.size // 2] = kink
            yield f"with an element of input {i} at the kink {kink:g}", _with(case, {i: one}), False
            if one.size > 1:
                yield f"with input {i} at the kink {kink:g}", _with(case, {i: np.full_like(one, kink)}), False
        if len(reals) > 1 and all(case.domain(i)[0] < kink < case.domain(i)[1] for i in reals):
            everywhere = {i: np.full_like(case.inputs[i], kink) for i in reals}
            yield f"with all inputs at the kink {kink:g}", _with(case, everywhere), False


def _at_ties(case: Case) -> Iterator[tuple[str, Case, bool]]:
    """Yield the op on inputs that are equal everywhere, and on inputs of two values."""
    reals = [i for i in case.differentiable if case.inputs[i].dtype.kind == "f" and case.inputs[i].size]
    if case.info.tie_policy is None or not reals:
        return
    middle = float(np.median(np.concatenate([case.inputs[i].reshape(-1) for i in reals])))
    rng = case.rng("ties")
    for what, choices in (("all values tied", [middle]), ("two values", [middle, middle + 0.5 * (abs(middle) or 1.0)])):
        if all(low < value < high for value in choices for low, high in map(case.domain, reals)):
            drawn = {i: rng.choice(choices, case.inputs[i].shape) for i in reals}
            yield f"with {what}", _with(case, drawn), True


def _with(case: Case, changed: dict[int, Floats]) -> Case:
    return case.with_inputs([changed.get(i, x) for i, x in enumerate(case.inputs)])


def _hold(case: Case, what: str, tied: bool) -> None:
    around = [_differences(near) for near in _points_around(case, tied)]
    for o in case.outputs:
        found = _gradients(case, o)
        others = np.stack([jacobians[o] for jacobians in around])
        if not found.size:
            continue
        if not np.isfinite(found).all():
            row, column = map(int, np.argwhere(~np.isfinite(found))[0])
            raise Failed(
                f"{what}, the gradient of element {row} of output {o} by element {column} is {found[row, column]}"
            )
        with np.errstate(all="ignore"):
            lowest, highest = np.fmin.reduce(others), np.fmax.reduce(others)
        outside = ~between(found, lowest - _slack(others), highest + _slack(others))
        outside &= np.isfinite(lowest)
        if outside.any():
            row, column = map(int, np.argwhere(outside)[0])
            raise Failed(
                f"{what}, the gradient of element {row} of output {o} by {_element(case, column)} is "
                f"{found[row, column]:.10g}; at points around it lies between {lowest[row, column]:.10g} and "
                f"{highest[row, column]:.10g}",
                index=(row, column),
                analytic=float(found[row, column]),
                left=float(lowest[row, column]),
                right=float(highest[row, column]),
                kind=sides_at(case, *_located(case, column))[o].kind(row),
                pattern="only at ties" if tied else "only at kinks",
            )
        if tied:
            _hold_policy(case, found, others, o, what)


def _slack(jacobians: Floats) -> float:
    """Return by how much derivatives at points nearby may differ from those at the place itself."""
    return SUMS * float(np.max(np.abs(jacobians), initial=0.0, where=np.isfinite(jacobians)))


def _hold_policy(case: Case, found: Floats, others: Floats, o: int, what: str) -> None:
    """Hold the shares of the inputs that tie for each value of output `o` to the declared policy.

    Those tie whose derivative depends on who is a little larger. Their shares add up to what they do at any point
    around. Where several values choose among the same, each after the first has the next one.
    """
    policy = case.info.tie_policy
    differing = np.ptp(others, axis=0) > DIFFERENT * np.abs(others).max(initial=0.0)
    taken: dict[bytes, set[int]] = {}
    for row, who in enumerate(differing):
        tied = np.flatnonzero(who)
        if not len(tied):
            continue
        masses = others[:, row, tied].sum(axis=-1)
        shares = found[row, tied]
        room = _slack(others)
        problem = ""
        if np.ptp(masses) <= room and not abs(shares.sum() - masses[0]) <= room:
            problem = f"they get {shares.sum():.6g} in all, where it should be {masses[0]:.6g}"
        elif policy == "split" and np.ptp(shares) > room:
            problem = f"info.tie_policy says that they share alike, but they get {_shown(shares)}"
        elif policy == "first":
            before = taken.setdefault(who.tobytes(), set())
            chosen = {int(k) for k in tied[np.abs(shares) > room]}
            free = [int(k) for k in tied if int(k) not in before]
            if chosen and chosen not in ({int(tied[0])}, set(free[:1])):
                problem = f"info.tie_policy says that the first has it all, but they get {_shown(shares)}"
            before |= chosen
        if problem:
            names = ", ".join(_element(case, int(k)) for k in tied[:4]) + ", …" * (len(tied) > 4)
            raise Failed(
                f"{what}, {names} tie for element {row} of output {o}: {problem}",
                index=(row, int(tied[0])),
                shares=[float(share) for share in shares],
                pattern="only at ties",
            )


def _shown(shares: Floats) -> str:
    return ", ".join(f"{share:.4g}" for share in shares[:6]) + ", …" * (len(shares) > 6)


def _points_around(case: Case, tied: bool) -> Iterator[Case]:
    """Yield the op on inputs moved a little, each element by another amount, both ways; in ties each to every rank."""
    sizes = [case.inputs[i].size for i in case.differentiable]
    total = sum(sizes)
    order = case.rng("around").permutation(total)
    steps = 2.0 * np.arange(total) + 1.0 - total
    steps[steps == 0.0] = 0.5
    turns = range(total) if tied else np.unique(np.linspace(0, total - 1, min(total, MOST_POINTS)).astype(int))
    for turn in turns:
        for sign in (1.0,) if tied else (1.0, -1.0):
            parts = np.split(sign * steps[(order + turn) % total] / total, np.cumsum(sizes)[:-1])
            inputs = list(case.inputs)
            for i, part in zip(case.differentiable, parts, strict=True):
                low, high = case.domain(i)
                x = inputs[i]
                near = x + NEAR * size_of(x) * part.reshape(x.shape)
                inputs[i] = np.where((low < near) & (near < high), near, x)
            yield case.with_inputs(inputs)


def _differences(case: Case) -> dict[int, Floats]:
    """Return the derivatives of each output by all elements of all inputs, from steps too short to reach a kink."""
    total = sum(case.inputs[i].size for i in case.differentiable)
    columns = []
    for i in case.differentiable:
        x = real_view(case.inputs[i])
        step = 0.1 * NEAR * size_of(case.inputs[i]) / total
        for index in np.ndindex(x.shape):
            values = along(values_by(case, i), x, index)
            with np.errstate(all="ignore"):
                columns.append((values(step) - values(-step)) / (2.0 * step))
    return parted(case, np.stack(columns, axis=-1))


def _gradients(case: Case, o: int) -> Floats:
    """Return the derivatives of an output by all elements of all inputs that the `vjp` gives."""
    parts = analytic_jacobians(case, o).values()
    return np.concatenate([part.reshape(len(part), math.prod(part.shape[1:])) for part in parts], axis=1)


def _element(case: Case, column: int) -> str:
    """Return an element, counted through all inputs, in words."""
    i, index = _located(case, column)
    return f"input {i} at {index}" if index else f"input {i}"


def _located(case: Case, column: int) -> tuple[int, tuple[int, ...]]:
    """Return the input and the place in it of a real number, counted through all inputs."""
    for i in case.differentiable:
        shape = real_view(case.inputs[i]).shape
        if column < math.prod(shape):
            break
        column -= math.prod(shape)
    return i, tuple(int(k) for k in np.unravel_index(column, shape)) if shape else ()
