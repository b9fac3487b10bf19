"""Linear ops on integers, where floating-point arithmetic is exact."""

import numpy as np

import opgraph as og
from opgraph.testing.case import Case, Failed, real_view
from opgraph.testing.check import NOTHING
from opgraph.testing.derivatives import DerivativeCheck
from opgraph.testing.jacobians import Array, Floats, basis, is_small, joined, parted, pullback, real_size
from opgraph.testing.patterns import guess

LARGE = 2**20  # products of two, and sums of thousands of those, are exact in float64, but not in float32
GRAIN = 2.0**10  # coefficients that are multiples of its inverse are exact
ROUNDING = 1e-12  # of the largest value, for an op whose coefficients are no such numbers: a mean of three


class ExactInt(DerivativeCheck):
    """In each declared multilinear input, values and gradients are those of a matrix, on integers to the last bit."""

    name = "exact_int"

    def hold(self, case: Case) -> str | None:
        linear = [i for i in case.info.multilinear if i in case.differentiable]
        if not linear:
            return NOTHING
        if not is_small(case):
            return "too large for the matrix"
        for i in linear:
            _hold(_on_integers(case, linear), i)
        return None


def _on_integers(case: Case, linear: list[int]) -> Case:
    """Return the op on integers in its linear inputs, and powers of two in others, by which division is exact too."""
    rng = case.rng("exact_int")
    inputs = list(case.inputs)
    for i in case.differentiable:
        x = case.inputs[i]
        if i in linear:
            inputs[i] = integers(rng, x)
        elif x.dtype.kind == "f":
            with np.errstate(all="ignore"):
                power = np.where(x == 0, 0.0, np.copysign(np.exp2(np.rint(np.log2(np.abs(x)))), x))
            low, high = case.domain(i)
            inputs[i] = power if ((low < power) & (power < high)).all() else x
    return case.with_inputs(inputs)


def integers(rng: np.random.Generator, like: Array) -> Array:
    """Return integers as floats, or as complex numbers, of the shape and dtype of `like`."""
    parts = [rng.integers(-LARGE, LARGE, like.shape, endpoint=True).astype(np.float64) for _ in range(2)]
    return np.asarray(parts[0] + 1j * parts[1] if like.dtype.kind == "c" else parts[0], like.dtype)


def _hold(case: Case, i: int) -> None:
    """Build the matrix from its columns, the op's values on each unit, and hold values and gradients to it."""
    x = case.inputs[i]
    rng = case.rng(f"exact_int {i}")

    def values(at: Array) -> Floats:
        inputs = list(case.inputs)
        inputs[i] = at
        return joined(case, case.compute(inputs))

    outputs = sum(real_size(case.specs[o]) for o in case.outputs)
    units = basis(og.Spec(og.Shape(x.shape), x.dtype))
    matrix = np.stack([values(unit) for unit in units], axis=-1) if units else np.zeros((outputs, 0))
    exact = bool((matrix * GRAIN == np.rint(matrix * GRAIN)).all() and np.abs(matrix).max(initial=0.0) <= 2.0**22)
    how = "to the last bit, for all coefficients are integers" if exact else "to rounding"

    a, b = x, integers(rng, x)
    k = 3.0
    for what, found, wanted in (
        ("f(a)", values(a), matrix @ real_view(a).reshape(-1)),
        ("f(0)", values(np.zeros_like(x)), np.zeros(outputs)),
        ("f(a + b)", values(a + b), values(a) + values(b)),
        (f"f({k:g} a)", values(k * a), k * values(a)),
    ):
        _hold_equal(case, i, what, found, wanted, exact, how)

    us = [integers(rng, np.zeros(og.known_shape(case.specs[o].shape), case.specs[o].dtype)) for o in case.outputs]
    # a third factor would leave what float64 holds
    us = [np.rint(u.real / 2.0**10) + (1j * np.rint(u.imag / 2.0**10) if u.dtype.kind == "c" else 0.0) for u in us]
    weights = np.concatenate([real_view(u).reshape(-1) for u in us])
    wanted = weights @ matrix
    for unknown in (False, True):
        given = [u.astype(case.specs[o].dtype) for o, u in zip(case.outputs, us, strict=True)]
        g = real_view(pullback(case, unknown)(case.inputs, given)[case.differentiable.index(i)])
        _hold_gradient(i, g, wanted.reshape(g.shape) if g.size == wanted.size else wanted, exact, how)


def _hold_equal(case: Case, i: int, what: str, found: Floats, wanted: Floats, exact: bool, how: str) -> None:
    room = 0.0 if exact else ROUNDING * float(np.abs(wanted).max(initial=1.0))
    for o, part in parted(case, np.abs(found - wanted)).items():
        if not (part <= room).all():
            at = int(np.argmax(~(part <= room)))
            raise Failed(
                f"output {o} is declared linear in input {i}, {how}; but {what} has "
                f"{parted(case, found)[o][at]:.17g} at element {at}, linearity says {parted(case, wanted)[o][at]:.17g}",
                input=i,
                output=o,
                index=(at,),
            )


def _hold_gradient(i: int, found: Floats, wanted: Floats, exact: bool, how: str) -> None:
    if found.shape != wanted.shape:
        raise Failed(f"the gradient by input {i} has shape {found.shape}")
    room = 0.0 if exact else ROUNDING * float(np.abs(wanted).max(initial=1.0))
    wrong = ~(np.abs(found - wanted) <= room)
    if wrong.any():
        index = tuple(int(k) for k in np.argwhere(wrong)[0])
        pattern = guess(found[None], wanted[None])
        raise Failed(
            f"by input {i}, in which the op is declared linear, the gradient {how} at {index} is {wanted[index]:.17g}, "
            f"the vjp gives {found[index]:.17g}",
            index=index,
            input=i,
            analytic=float(found[index]),
            numeric=float(wanted[index]),
            **({"pattern": pattern} if pattern else {}),
        )
