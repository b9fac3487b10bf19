"""Put known sizes in the place of unknown ones."""

from collections.abc import Sequence

from opgraph.build import infer_specs
from opgraph.errors import KernelError, OpgraphError, ShapeError
from opgraph.spec import Spec
from opgraph.structure import Structure


def specialize(structure: Structure, feeds: Sequence[Spec]) -> list[Spec]:
    """Return every value's spec when the feeds have the specs `feeds`, whose sizes are all known.

    Raises
    ------
    ShapeError, ArgumentError
        Where sizes that were unknown turn out not to go together.
    KernelError
        Where an op infers what contradicts what it inferred before.
    """
    specs = list(structure.specs)
    for value, spec in zip(structure.feeds, feeds, strict=True):
        specs[value] = spec
    for step in structure.steps:
        ins = tuple(specs[value] for value in step.inputs)
        try:
            outs = infer_specs(step.op, ins)
            before = [structure.specs[value] for value in step.outputs]
            if len(outs) != len(before) or not all(
                b.admits(o) and o.shape.is_known for b, o in zip(before, outs, strict=True)
            ):
                raise KernelError(f"its infer said {tuple(before)} when the graph was built, and {outs} now")
        except OpgraphError as error:
            shown = structure.describe_inputs(step, specs)
            raise error.located(step.what, shown, step.source) from error.__cause__
        for value, spec in zip(step.outputs, outs, strict=True):
            specs[value] = spec
    for variable, value in structure.updates:
        if specs[value] != specs[variable]:
            detail = f"{structure.describe(value, specs)} does not go into {structure.describe(variable, specs)}"
            maker = structure.maker(value)
            raise ShapeError(detail).located("update", source=maker.source if maker else None)
    return specs
