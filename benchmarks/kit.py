"""How many planted bugs the conformance kit and its peers catch: python benchmarks/kit.py

The numerical bugs of ``tests/conformance/mutants``, those that show in what a forward and a backward pass over
arrays give, go through `torch.autograd.gradcheck` and `gradgradcheck`, `jax.test_util.check_grads` and
`autograd.test_util.check_grads` to second order, and PyTensor's `verify_grad`: each as that library's own custom
function around the op's forward, backward and second backward pass, on the op's own samples, with default
tolerances. So do the correct ops of ``tests/conformance/correct``, whose failures are false alarms. A peer that is
not installed is left out; ``tox -e peers`` has them all.

Prints the comparison as it stands in the documentation; ``--write DIRECTORY`` puts it there as ``kit.md``, and
``kit.json`` with what each said of each op.
"""

import argparse
import contextlib
import functools
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import opgraph as og
from opgraph.testing import check_op
from opgraph.testing.case import Case

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "conformance"))

import planted  # noqa: E402  # beside the tests

# the checks whose bugs show in what forward and backward give
NUMERICAL = (
    "adjoint",
    "complex",
    "cotangent_linear",
    "determinism",
    "exact_int",
    "jvp",
    "kink",
    "recompute",
    "second_order",
    "stale",
    "vjp_full",
    "vjp_probe",
)
INEXPRESSIBLE = {
    "ScaleByStaticShape": "shows where sizes are unknown when the graph is built",
    "TransposedOnce": "shows in the memory of the result",
    "BothNeeded": "shows where nothing arrives at an output; peers hand zeros over",
}
SECONDS = 120  # for one op with one peer


class Passes:
    """The forward, backward and second backward pass of an op on one sample, from arrays to arrays.

    Several outputs are laid end to end.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.at = case.differentiable
        self.arrays = [np.array(case.inputs[i]) for i in self.at]
        self.outputs = case.outputs
        self._shapes = [og.known_shape(case.specs[o].shape) for o in self.outputs]
        self._runtime = og.RunTime(seed=0)

    def forward(self, *xs: Any) -> np.ndarray:
        """Return the values of all outputs."""
        return self._joined(self._forward(*self._all(xs)))

    def backward(self, *xs_g: Any) -> list[np.ndarray]:
        """Return the gradients by the inputs, from them and the cotangent."""
        *xs, g = xs_g
        return self._backward(*self._all(xs), *self._parts(g))

    def twice(self, *xs_g_hs: Any) -> list[np.ndarray]:
        """Return the gradients of `backward` by the inputs and the cotangent, from those and cotangents of its own."""
        n = len(self.at)
        xs, g, hs = xs_g_hs[:n], xs_g_hs[n], xs_g_hs[n + 1 :]
        found = self._twice(*self._all(xs), *self._parts(g), *map(np.asarray, hs))
        return [*found[:n], self._joined(found[n:])]

    @functools.cached_property
    def _forward(self) -> Callable[..., list[np.ndarray]]:
        with self.case.graph() as (nodes, outputs):
            return self._runtime.compile(nodes, [outputs[o] for o in self.outputs])

    @functools.cached_property
    def _backward(self) -> Callable[..., list[np.ndarray]]:
        with self._graph() as (nodes, us, firsts):
            return self._runtime.compile([*nodes, *us], firsts)

    @functools.cached_property
    def _twice(self) -> Callable[..., list[np.ndarray]]:
        with self._graph() as (nodes, us, firsts):
            hs = [og.placeholder(g.shape, dtype=g.dtype) for g in firsts]
            seconds = og.vjp(firsts, [*(nodes[i] for i in self.at), *us], hs)
            return self._runtime.compile([*nodes, *us, *hs], seconds)

    @contextlib.contextmanager
    def _graph(self) -> Iterator[tuple[list[Any], list[Any], list[Any]]]:
        with self.case.graph() as (nodes, outputs):
            ys = [outputs[o] for o in self.outputs]
            us = [og.placeholder(y.shape, dtype=y.dtype) for y in ys]
            yield nodes, us, og.vjp(ys, [nodes[i] for i in self.at], us)

    def _all(self, xs: Sequence[Any]) -> list[np.ndarray]:
        given = list(self.case.inputs)
        for i, x in zip(self.at, xs, strict=True):
            given[i] = np.asarray(x)
        return given

    def _joined(self, values: Sequence[np.ndarray]) -> np.ndarray:
        return values[0] if len(values) == 1 else np.concatenate([np.ravel(v) for v in values])

    def _parts(self, g: Any) -> list[np.ndarray]:
        g = np.asarray(g)
        if len(self._shapes) == 1:
            return [g]
        ends = np.cumsum([np.prod(s, dtype=int) for s in self._shapes])[:-1]
        return [part.reshape(s) for part, s in zip(np.split(g, ends), self._shapes, strict=True)]


class Holomorphic(Passes):
    """The passes in the convention of JAX and Autograd, whose gradients by complex numbers are PyTorch's conjugates."""

    def backward(self, *xs_g: Any) -> list[np.ndarray]:
        *xs, g = xs_g
        return [np.conj(found) for found in super().backward(*xs, np.conj(g))]

    def twice(self, *xs_g_hs: Any) -> list[np.ndarray]:
        n = len(self.at)
        xs, g, hs = xs_g_hs[:n], xs_g_hs[n], xs_g_hs[n + 1 :]
        *by_xs, by_g = super().twice(*xs, np.conj(g), *hs)
        return [*(np.conj(found) for found in by_xs), by_g]


class Torch:
    """torch.autograd.gradcheck, then gradgradcheck."""

    name, module = "torch gradcheck + gradgradcheck", "torch"

    def check(self, case: Case) -> None:
        import torch

        passes = Passes(case)
        n = len(passes.at)

        class Backward(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *xs_g: Any) -> Any:
                ctx.save_for_backward(*xs_g)
                return tuple(map(_tensor, passes.backward(*(x.detach().numpy() for x in xs_g))))

            @staticmethod
            def backward(ctx: Any, *hs: Any) -> Any:
                given = [*ctx.saved_tensors, *hs]
                return tuple(map(_tensor, passes.twice(*(x.detach().numpy() for x in given))))

        class Forward(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *xs: Any) -> Any:
                ctx.save_for_backward(*xs)
                return _tensor(passes.forward(*(x.detach().numpy() for x in xs)))

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return Backward.apply(*ctx.saved_tensors, g)

        def _tensor(array: np.ndarray) -> Any:
            found = torch.from_numpy(np.array(array))
            # into memory of its own: gradcheck refuses the strides that NumPy's empty arrays bring along
            return torch.empty(array.shape, dtype=found.dtype).copy_(found)

        xs = tuple(_tensor(x).requires_grad_() for x in passes.arrays)
        assert len(xs) == n
        torch.autograd.gradcheck(Forward.apply, xs)
        torch.autograd.gradgradcheck(Forward.apply, xs)


class Jax:
    """jax.test_util.check_grads in reverse mode, to second order: custom functions have no forward mode."""

    name, module = "jax check_grads, order 2", "jax"

    def check(self, case: Case) -> None:
        import jax
        from jax.test_util import check_grads

        jax.config.update("jax_enable_x64", True)
        passes = Holomorphic(case)
        n = len(passes.at)
        like = functools.partial(jax.ShapeDtypeStruct)

        def called(function: Callable[..., Any], shapes: Any, *args: Any) -> Any:
            return jax.pure_callback(function, shapes, *args)

        @jax.custom_vjp
        def backward(*xs_g: Any) -> Any:
            shapes = tuple(like(x.shape, x.dtype) for x in xs_g[:n])
            return called(lambda *a: tuple(map(np.asarray, passes.backward(*a))), shapes, *xs_g)

        def backward_back(xs_g: Any, hs: Any) -> Any:
            shapes = tuple(like(x.shape, x.dtype) for x in xs_g)
            return called(lambda *a: tuple(map(np.asarray, passes.twice(*a))), shapes, *xs_g, *hs)

        backward.defvjp(lambda *xs_g: (backward(*xs_g), xs_g), backward_back)

        @jax.custom_vjp
        def forward(*xs: Any) -> Any:
            y = passes.forward(*passes.arrays)
            return called(lambda *a: np.asarray(passes.forward(*a)), like(y.shape, y.dtype), *xs)

        forward.defvjp(lambda *xs: (forward(*xs), xs), lambda xs, g: backward(*xs, g))
        check_grads(forward, tuple(map(jax.numpy.asarray, passes.arrays)), order=2, modes=["rev"])


class Autograd:
    """autograd.test_util.check_grads in reverse mode, to second order."""

    name, module = "autograd check_grads, order 2", "autograd"

    def check(self, case: Case) -> None:
        from autograd.extend import defvjp, primitive
        from autograd.test_util import check_grads

        passes = Holomorphic(case)
        n = len(passes.at)

        def backward(i: int) -> Any:
            @primitive
            def by_input(*xs_g: Any) -> Any:
                return passes.backward(*xs_g)[i]

            def back(k: int) -> Any:
                def rule(_: Any, *xs_g: Any) -> Any:
                    def pulled(h: Any) -> Any:
                        hs = [h if j == i else np.zeros_like(x) for j, x in enumerate(xs_g[:n])]
                        return passes.twice(*xs_g, *hs)[k]

                    return pulled

                return rule

            defvjp(by_input, *map(back, range(n + 1)))
            return by_input

        forward = primitive(lambda *xs: passes.forward(*xs))
        parts = [backward(i) for i in range(n)]
        defvjp(forward, *[lambda _, *xs, part=part: lambda g: part(*xs, g) for part in parts])
        check_grads(forward, tuple(range(n)), modes=["rev"], order=2)(*passes.arrays)


class Pytensor:
    """pytensor.gradient.verify_grad, which is of first order, and takes neither complex numbers nor empty inputs."""

    name, module = "pytensor verify_grad", "pytensor"

    def check(self, case: Case) -> None:
        import pytensor.tensor as pt
        from pytensor.compile.mode import Mode
        from pytensor.gradient import verify_grad
        from pytensor.graph.basic import Apply
        from pytensor.graph.op import Op

        passes = Passes(case)
        if any(x.dtype.kind == "c" or not x.size for x in passes.arrays):
            return

        class Backward(Op):
            def make_node(self, *xs_g: Any) -> Any:
                return Apply(self, list(xs_g), [x.type() for x in xs_g[:-1]])

            def perform(self, node: Any, inputs: Any, storage: Any) -> None:
                for cell, found in zip(storage, passes.backward(*inputs), strict=True):
                    cell[0] = np.asarray(found)

        class Forward(Op):
            def make_node(self, *xs: Any) -> Any:
                xs = list(map(pt.as_tensor_variable, xs))
                y = passes.forward(*passes.arrays)
                return Apply(self, xs, [pt.tensor(dtype=y.dtype, shape=y.shape)])

            def perform(self, node: Any, inputs: Any, storage: Any) -> None:
                storage[0][0] = np.asarray(passes.forward(*inputs))

            def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> Any:
                return Backward()(*inputs, cotangents[0], return_list=True)

            L_op = pullback

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verify_grad(
                Forward(), passes.arrays, rng=np.random.default_rng(0), mode=Mode(linker="py", optimizer="fast_compile")
            )


@dataclass(frozen=True)
class Outcome:
    """What a checker said of one op: what it found, and the seconds that it took."""

    found: str
    seconds: float


class TooLong(Exception):
    """An op took more than its time."""


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise `TooLong` out of a ``with`` that takes too long."""

    def stop(*_: Any) -> None:
        raise TooLong(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def by_peer(peer: Any, op_class: type[og.Op]) -> Outcome:
    """Return what a peer finds in any of an op's samples that has something to differentiate."""
    start = time.perf_counter()
    found = ""
    for n, sample in enumerate(op_class.samples(np.random.default_rng(0))):
        if sample.raises is not None:
            continue
        case = Case.of(op_class, sample, sample.id or str(n))
        if not case.has_gradient:
            continue
        try:
            with limited(SECONDS), contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
                peer.check(case)
        except Exception as error:  # what a bug makes of a peer is up to the bug
            found = f"{case.name}: {type(error).__name__}: {str(error).strip()}".splitlines()[0][:200]
            break
    return Outcome(found, time.perf_counter() - start)


def by_kit(op_class: type[og.Op]) -> Outcome:
    """Return what the kit finds."""
    start = time.perf_counter()
    failures = check_op(op_class).failures
    found = (
        f"{failures[0].check} on {failures[0].sample!r}: {failures[0].detail}".splitlines()[0][:200] if failures else ""
    )
    return Outcome(found, time.perf_counter() - start)


def version_of(module: str) -> str | None:
    """Return the installed version of a peer, or ``None``."""
    try:
        return str(importlib.import_module(module).__version__)
    except ImportError:
        return None
    except AttributeError:
        from importlib.metadata import version

        return version(module)


def commit() -> str:
    """Return the commit that is checked out, and whether there is more than that."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + (" with changes" if git("status", "--porcelain") else "")


def markdown(rows: dict[str, Any]) -> str:
    """Return the comparison as the documentation has it."""
    bugs, correct = rows["bugs"], rows["correct"]
    lines = [
        f"{len(bugs)} numerical bugs and {len(correct)} correct ops, at commit {rows['commit']}, by "
        "`python benchmarks/kit.py`; default tolerances, the ops' own samples, second order where there is one.",
        "",
        "| | bugs caught | false alarms | seconds per op |",
        "|---|---|---|---|",
    ]
    for name, version in rows["checkers"].items():
        found = [bug[name] for bug in bugs.values()]
        alarms = [op[name] for op in correct.values()]
        seconds = np.mean([o["seconds"] for o in [*found, *alarms]])
        caught = sum(bool(o["found"]) for o in found)
        alarmed = sum(bool(o["found"]) for o in alarms)
        lines.append(f"| {name} ({version}) | {caught} of {len(found)} | {alarmed} of {len(alarms)} | {seconds:.2f} |")
    lines += [f"| {name} | not installed | | |" for name in rows["missing"]]
    lines.append("")
    for name in rows["checkers"]:
        missed = [f"`{bug}`" for bug, by in bugs.items() if not by[name]["found"]]
        alarmed = [f"`{op}`" for op, by in correct.items() if by[name]["found"]]
        lines.append(f"- {name} misses {', '.join(missed) or 'none'}; accuses {', '.join(alarmed) or 'none'}.")
    lines += [f"- Left out: `{bug}`, which {reason}." for bug, reason in INEXPRESSIBLE.items()]
    lines.append(
        "- PyTensor's is of first order, and is given neither complex samples nor empty ones, which it does not take."
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, metavar="DIRECTORY", help="where kit.md and kit.json go")
    parser.add_argument("--only", nargs="*", default=[], metavar="OP", help="class names, to look at some ops alone")
    chosen = parser.parse_args()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    planted.install(Path(tempfile.mkdtemp()))
    bugs = [
        op
        for op in planted.all_mutants()
        if op.caught_by in NUMERICAL and op.__name__ not in INEXPRESSIBLE  # type: ignore[attr-defined]  # of mutants
    ]
    ops = {"bugs": bugs, "correct": planted.all_correct()}
    if chosen.only:
        ops = {kind: [op for op in some if op.__name__ in chosen.only] for kind, some in ops.items()}
    peers = [Torch(), Jax(), Autograd(), Pytensor()]
    versions = {peer.name: version_of(peer.module) for peer in peers}
    checkers: dict[str, Callable[[type[og.Op]], Outcome]] = {"opgraph's kit": by_kit}
    for peer in peers:
        if versions[peer.name]:
            checkers[peer.name] = functools.partial(by_peer, peer)
        else:
            print(f"{peer.module} is not installed, so that it is left out; tox -e peers has it", file=sys.stderr)
    rows: dict[str, Any] = {
        "commit": commit(),
        "checkers": {"opgraph's kit": og.__version__, **{n: v for n, v in versions.items() if v}},
        "missing": [name for name, version in versions.items() if not version],
    }
    for kind, some in ops.items():
        rows[kind] = {}
        for op_class in some:
            rows[kind][op_class.__name__] = {name: vars(check(op_class)) for name, check in checkers.items()}
            told = ", ".join(f"{name}: {o['found'] or '-'}" for name, o in rows[kind][op_class.__name__].items())
            print(
                f"{kind} {op_class.__name__}: {told}" if chosen.only else f"{kind} {op_class.__name__}", file=sys.stderr
            )
    text = markdown(rows)
    print(text)
    if chosen.write:
        chosen.write.mkdir(parents=True, exist_ok=True)
        (chosen.write / "kit.md").write_text(text)
        (chosen.write / "kit.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
