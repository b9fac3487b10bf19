"""Graphs on disk."""

import os
import tempfile
from typing import Any, TypeAlias

from numpy.typing import NDArray

import opgraph as og
from opgraph.testing.agreement import attribute_bits, expect_same
from opgraph.testing.case import Case, Failed
from opgraph.testing.check import NOTHING, Check
from opgraph.testing.declared import declared_samples
from opgraph.testing.programs import cotangents, with_gradients

Array: TypeAlias = NDArray[Any]


class SaveLoad(Check):
    """A graph that was saved and loaded has the same attributes, and gives the same values and gradients bit by bit."""

    name = "save_load"

    def on_op(self, op_class: type[og.Op], seed: int) -> str | None:
        samples = [s for s in declared_samples(op_class, seed) if s.raises is None]
        if not samples:
            return NOTHING
        if op_class.name not in og.registry.names():
            return "the op is not registered, and loading finds ops by their names"
        cases = [Case.of(op_class, s, s.id or str(n), seed) for n, s in enumerate(samples)]
        fetches: dict[str, og.Node] = {}
        feeds: dict[og.Placeholder, Array] = {}
        # one file for all samples: writing one takes longer than all else
        with og.Graph().as_default_graph():
            for n, case in enumerate(cases):
                nodes = [og.placeholder(x.shape, dtype=x.dtype, name=f"s{n}_x{i}") for i, x in enumerate(case.inputs)]
                outputs = og.apply_all(case.op, *nodes)
                given, gradients = with_gradients(case, nodes, outputs)
                fetches |= {f"{n} y{o}": y for o, y in enumerate(outputs)}
                fetches |= {f"{n} g{i}": g for i, g in enumerate(gradients)}
                feeds |= dict(zip([*nodes, *given], [*case.inputs, *cotangents(case, case.inputs)], strict=True))
            loaded = _saved_and_loaded(fetches)
            expected = og.RunTime(seed=seed).run(list(fetches.values()), feeds)
        for n, case in enumerate(cases):
            call = loaded.outputs[f"{n} y0"].call
            if call is None or attribute_bits(call.op) != attribute_bits(case.op):
                raise Failed(f"sample {case.name!r}: {case.op!r}, saved and loaded, is {call and call.op!r}")
        by_name = {node.name: value for node, value in feeds.items()}
        given_again = {node: by_name[name] for name, node in loaded.inputs.items()}
        found = og.RunTime(seed=seed).run([loaded.outputs[name] for name in fetches], given_again)
        for name, value, wanted in zip(fetches, found, expected, strict=True):
            number, what = name.split()
            kind = "value" if what[0] == "y" else "gradient"
            sample = cases[int(number)].name
            expect_same([value], [wanted], f"saved and loaded, {kind} {what[1:]} of sample {sample!r}")
        return None


def _saved_and_loaded(fetches: dict[str, og.Node]) -> og.LoadedGraph:
    with tempfile.TemporaryDirectory() as directory:
        path = og.save_graph(os.path.join(directory, "op"), fetches)
        return og.load_graph(path)
