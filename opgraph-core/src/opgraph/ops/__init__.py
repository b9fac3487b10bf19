"""The core's own ops, a family a file; and every installed namespace as an attribute.

``og.ops.acme.foo`` is the front door of the op that some distribution registered as ``acme.foo``.
"""

# underscores, since every other name is a namespace's
from opgraph import registry as _registry
from opgraph.errors import UnknownOpError as _UnknownOpError
from opgraph.errors import did_you_mean as _did_you_mean


def __getattr__(name: str) -> _registry.Namespace:
    if not name.startswith("_") and _registry.names(name):
        return _registry.Namespace(name)
    known = {n.partition(".")[0] for n in _registry.names()}
    if name in _registry.OWN_DISTRIBUTIONS:
        package = _registry.OWN_DISTRIBUTIONS[name]
        raise _UnknownOpError(f"opgraph.ops: the namespace {name!r} comes with {package}: pip install {package}")
    raise _UnknownOpError(f"opgraph.ops: no installed op has the namespace {name!r}" + _did_you_mean(name, known))


def __dir__() -> list[str]:
    return sorted({n.partition(".")[0] for n in _registry.names()})
