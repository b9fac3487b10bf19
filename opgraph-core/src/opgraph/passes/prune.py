"""Drop the steps that nothing needs, and run none for its shape alone."""

from dataclasses import replace

from opgraph.plan import Structure


def prune(structure: Structure) -> Structure:
    """Return `structure` with the steps that its results need.

    A step whose outputs are read for their shape alone stays, to be inferred, but is not run.
    """
    read = structure.results
    shaped: set[int] = set()
    kept = []
    for step in reversed(structure.steps):
        runs = not read.isdisjoint(step.outputs)
        if runs:
            unread = step.op.shape_only(len(step.inputs))
            read.update(value for i, value in enumerate(step.inputs) if i not in unread)
            shaped.update(value for i, value in enumerate(step.inputs) if i in unread)
        elif not shaped.isdisjoint(step.outputs):
            shaped.update(step.inputs)
        else:
            continue
        kept.append(step if step.run == runs else replace(step, run=runs))
    return replace(structure, steps=tuple(reversed(kept)))
