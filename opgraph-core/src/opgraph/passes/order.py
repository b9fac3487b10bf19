"""Run early what takes no room in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from opgraph.spec import Spec
from opgraph.structure import Structure

LARGE = 1 << 18  # bytes to be freed: what is smaller stays in a cache, where it is better worked on together


def order(structure: Structure, specs: Sequence[Spec], owners: Mapping[int, frozenset[int]]) -> Structure:
    """Return `structure` with each step that frees as much memory as it takes run as soon as it can be.

    What was made for many things first, and then read for each, is then read as it comes, and not when all is there.

    Parameters
    ----------
    owners
        Of each value that is a view, those whose memory it may lie in.
    """
    if not any((specs[value].nbytes or 0) >= LARGE for step in structure.steps for value in step.outputs):
        return structure
    last: dict[int, int] = {}  # of each value, the last step that reads it
    for at, step in enumerate(structure.steps):
        for i in step.reads():
            last.update(dict.fromkeys(owners.get(step.inputs[i], (step.inputs[i],)), at))
    for value in structure.results:
        last.update(dict.fromkeys(owners.get(value, (value,)), len(structure.steps)))
    made: dict[int, int] = {}  # of each value that a step makes, where that runs
    read: dict[int, int] = {}  # and where the last step runs, so far, that reads it
    places = []
    for at, step in enumerate(structure.steps):
        needed = {owner for i in step.reads() for owner in owners.get(step.inputs[i], (step.inputs[i],))}
        dying = [value for value in needed if value in made and last[value] == at]
        freed, taken = (sum(specs[value].nbytes or 0 for value in values) for values in (dying, step.outputs))
        place = at
        if step.run and step.outputs[0] not in owners and freed >= max(taken, LARGE):
            ready = [*[made[v] for v in step.inputs if v in made], *[read.get(v, -1) for v in dying]]
            place = max(ready, default=at)
        made.update(dict.fromkeys(step.outputs, place))
        read.update((value, max(place, read.get(value, -1))) for value in needed)
        places.append((place, at))
    if all(place == at for place, at in places):
        return structure
    return replace(structure, steps=tuple([structure.steps[at] for _, at in sorted(places)]))
