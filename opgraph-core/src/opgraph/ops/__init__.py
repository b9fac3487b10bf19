"""The core's own ops, a family a file; and every installed namespace as an attribute.

``og.ops.acme.foo`` is the front door of the op that some distribution registered as ``acme.foo``.
"""

from opgraph import registry
from opgraph.errors import UnknownOpError, did_you_mean


def __getattr__(name: str) -> registry.Namespace:
    if not name.startswith("_") and registry.names(name):
        return registry.Namespace(name)
    known = {n.partition(".")[0] for n in registry.names()}
    if name in registry.OWN_DISTRIBUTIONS:
        package = registry.OWN_DISTRIBUTIONS[name]
        raise UnknownOpError(f"opgraph.ops: the namespace {name!r} comes with {package}: pip install {package}")
    raise UnknownOpError(f"opgraph.ops: no installed op has the namespace {name!r}" + did_you_mean(name, known))


def __dir__() -> list[str]:
    return sorted({n.partition(".")[0] for n in registry.names()})
