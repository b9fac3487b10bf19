"""From names to ops: what is installed, what is registered by hand, and each op's front door."""

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opgraph.doors import FrontDoor, front_door
from opgraph.errors import (
    OpLoadError,
    UnknownOpError,
    did_you_mean,
    hide_frames,
)
from opgraph.hints import way_to
from opgraph.node import above
from opgraph.op import Op

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

OPS_GROUP = "opgraph.ops.v1"
KERNELS_GROUP = "opgraph.kernels.v1"
# modules of opgraph.ops, which hide a namespace of that name
_RESERVED = (
    "arithmetic",
    "compare",
    "complexes",
    "create",
    "diagonals",
    "einsums",
    "elementwise",
    "flow",
    "index",
    "join",
    "keys",
    "like",
    "linalg",
    "moves",
    "norms",
    "ordering",
    "padding",
    "picking",
    "piecewise",
    "powers",
    "random",
    "reduce",
    "scans",
    "shape",
    "special",
    "tiling",
    "trigonometry",
)
OWN_DISTRIBUTIONS = {"core": "opgraph-core", "nn": "opgraph-nn", "vision": "opgraph-vision"}


# ops that users ask for before they have installed the package; a test holds them to what there is
KNOWN_ELSEWHERE = {
    "opgraph-vision": (
        "avgpool2d",
        "avgpool_2d",
        "conv2d",
        "conv2d_transpose",
        "global_avgpool2d",
        "global_maxpool2d",
        "maxpool2d",
        "maxpool_2d",
        "resize_nearest2d",
    ),
    "opgraph-nn": (
        "batch_norm",
        "dropout",
        "elu",
        "fused_batch_norm",
        "gelu",
        "huber_loss",
        "l2norm",
        "leaky_relu",
        "log_sigmoid",
        "log_softmax",
        "mse_loss",
        "normal_density",
        "normal_log_density",
        "relu",
        "selu",
        "sigmoid",
        "sigmoid_cross_entropy_loss",
        "silu",
        "softmax",
        "softmax_cross_entropy_loss",
        "softplus",
        "sparse_softmax_cross_entropy_loss",
    ),
}


@dataclass(frozen=True)
class Entry:
    """One entry point: a name, what it points to, and the distribution that says so."""

    name: str
    value: str
    distribution: str
    version: str
    group: str = OPS_GROUP

    @property
    def namespace(self) -> str:
        """The part of the name before the dot."""
        return self.name.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.name} = {self.value})"


def get(name: str) -> Any:
    """Return the op class, or composed function, that is registered as ``"namespace.name"``.

    Raises
    ------
    UnknownOpError
        Where none is.
    OpLoadError
        Where it cannot be imported, or two distributions claim the name.
    """
    return _load(name)


def get_function(name: str) -> FrontDoor:
    """Return the front door of the op that is registered as ``"namespace.name"``; raises as `get`."""
    target = _load(name)
    return front_door(target) if isinstance(target, type) and issubclass(target, Op) else target


def get_flat(name: str) -> FrontDoor:
    """Return the front door of `name` in core, nn or vision, the first that has it; raises as `get`."""
    if not name.startswith("_"):
        for namespace in OWN_DISTRIBUTIONS:
            if f"{namespace}.{name}" in _registered or f"{namespace}.{name}" in _own_entries(namespace):
                return get_function(f"{namespace}.{name}")
    raise UnknownOpError(f"opgraph has no {name!r}" + _where_to_find(name))


def flat_names() -> list[str]:
    """Return the names that `get_flat` answers to, without importing any."""
    names = [*_registered, *(name for namespace in OWN_DISTRIBUTIONS for name in _own_entries(namespace))]
    return sorted({n.partition(".")[2] for n in names if n.partition(".")[0] in OWN_DISTRIBUTIONS and "._" not in n})


def names(namespace: str | None = None) -> list[str]:
    """Return the full names of what is installed or registered, without importing any."""
    known = {*_registered, *installed()}
    return sorted(n for n in known if namespace is None or n.partition(".")[0] == namespace)


def distribution_of(name: str) -> str | None:
    """Return the distribution that has ``"namespace.name"`` installed, None where none has; nothing is imported."""
    own = OWN_DISTRIBUTIONS.get(name.partition(".")[0])
    entries = [] if own or name in _registered else installed().get(name, [])
    return own or " or ".join(entry.distribution for entry in entries) or None


def register(op_class: type[Op]) -> type[Op]:
    """Make an op known under its name without an entry point: for notebooks and frozen applications.

    Usable as a decorator. Registering a name again replaces it.

    Raises
    ------
    OpLoadError
        Where the op has no name, or one that an installed distribution has.
    """
    if not isinstance(op_class, type) or not issubclass(op_class, Op):
        raise OpLoadError(f"register: {op_class!r} is no Op class")
    if "name" not in vars(op_class):
        raise OpLoadError(f"register: {op_class.__qualname__} has no name; write class …(og.Op, name='me.op')")
    namespace = op_class.name.partition(".")[0]
    if namespace in OWN_DISTRIBUTIONS or namespace in _RESERVED:
        raise OpLoadError(f"register: {op_class.name}: the namespace {namespace!r} is opgraph's own")
    if op_class.name in installed():
        raise OpLoadError(f"register: {op_class.name} is taken by {installed()[op_class.name][0]}")
    _registered[op_class.name] = op_class
    return op_class


def get_kernels(name: str) -> Mapping[str, Callable[..., Any]]:
    """Return the installed kernel set of that name: from op names to factories.

    A factory is called with the op and the specs of inputs and outputs; it returns an `og.Kernel`, or
    ``None`` to leave the call to another set or to the op itself.
    """
    entries = installed(KERNELS_GROUP).get(name)
    if not entries:
        raise UnknownOpError(f"no kernel set is installed as {name!r}" + did_you_mean(name, installed(KERNELS_GROUP)))
    target = load(name, entries)
    if not isinstance(target, Mapping):
        raise OpLoadError(f"{entries[0]} is no mapping from op names to factories")
    return target


def load(name: str, entries: list[Entry]) -> Any:
    """Return what the preferred one of `entries`, which all have that name, points to.

    Raises
    ------
    OpLoadError
        Where it cannot be imported, is blocked, or none is preferred.
    """
    return _imported(_preferred(name, entries))


def default_kernels() -> list[str]:
    """Return the kernel sets that ``OPGRAPH_KERNELS`` names."""
    return _words("OPGRAPH_KERNELS")


_registered: dict[str, type[Op]] = {}
_loaded: dict[str, Any] = {}


def _load(name: str) -> Any:
    found = _registered.get(name) or _loaded.get(name)
    if found is not None:
        return found
    namespace, _, local = name.partition(".")
    if namespace in OWN_DISTRIBUTIONS:
        entries = _own_entries(namespace).get(name, [])
        if not entries:
            raise UnknownOpError(f"no op is installed as {name!r}" + _where_to_find(local))
    else:
        entries = installed().get(name, [])
    if not entries:
        raise UnknownOpError(f"no op is installed as {name!r}" + did_you_mean(name, names()) + _other_contract(name))
    return _loaded.setdefault(name, _import(_preferred(name, entries)))


def _import(entry: Entry) -> Any:
    """Return the op class or function of `entry`."""
    target = _imported(entry)
    if inspect.isclass(target) and issubclass(target, Op):
        if target.name != entry.name:
            raise OpLoadError(f"{entry} is registered under that name, but calls itself {target.name!r}")
    elif inspect.isclass(target) or not callable(target):
        raise OpLoadError(f"{entry} is neither an Op class nor a function")
    return target


def _imported(entry: Entry) -> Any:
    blocked = is_blocked(entry)
    if blocked:
        raise OpLoadError(f"{entry} is blocked by OPGRAPH_BLOCK={blocked}")
    module, _, attribute = entry.value.partition(":")
    hide_frames(module)
    try:
        return functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
    # a plugin that calls sys.exit must not take the program with it
    except (Exception, SystemExit) as error:
        raise OpLoadError(f"{entry} cannot be imported: {type(error).__name__}: {error}") from error


def _preferred(name: str, entries: list[Entry]) -> Entry:
    if len(entries) == 1:
        return entries[0]
    for preferred in _words("OPGRAPH_PREFER"):
        for entry in entries:
            if entry.distribution == preferred:
                return entry
    raise OpLoadError(
        f"{name} is claimed by {' and by '.join(map(str, entries))}; "
        f"set OPGRAPH_PREFER={entries[0].distribution} or uninstall one"
    )


def is_blocked(entry: Entry) -> str:
    """Return the word of ``OPGRAPH_BLOCK`` that disables `entry`, or an empty string."""
    words = (entry.name, entry.namespace, entry.distribution)
    return next((word for word in _words("OPGRAPH_BLOCK") if word in words), "")


def _words(variable: str) -> list[str]:
    return [word for word in os.environ.get(variable, "").replace(",", " ").split() if word]


@functools.cache
def installed(group: str = OPS_GROUP) -> Mapping[str, list[Entry]]:
    """Return the entry points of all distributions in `group` by name, read once, nothing imported."""
    from importlib.metadata import entry_points  # not at the top: costs 15 ms, and most programs do without

    found: dict[str, list[Entry]] = {}
    known: dict[Any, Any] = {}  # metadata are read anew each time they are asked for
    for point in entry_points(group=group):
        if point.dist not in known:
            known[point.dist] = point.dist.metadata if point.dist else None
        # a broken uninstall leaves distributions without metadata, and so without a name
        metadata = known[point.dist]
        distribution = _distribution_name(metadata["Name"] if metadata and "Name" in metadata else "unknown")
        owner = OWN_DISTRIBUTIONS.get(point.name.partition(".")[0]) if group == OPS_GROUP else None
        if owner is None or owner == distribution:
            version = metadata["Version"] if metadata and "Version" in metadata else "?"
            found.setdefault(point.name, []).append(_entry(point, distribution, version))
    return found


@functools.cache
def _own_entries(namespace: str) -> Mapping[str, list[Entry]]:
    """Return the ops of core, nn or vision, from that one distribution's metadata."""
    name = OWN_DISTRIBUTIONS[namespace]
    entries = _plainly_installed(name)
    if entries is None:
        entries = _from_metadata(name)
    return {entry.name: [entry] for entry in entries if entry.namespace == namespace}


def _plainly_installed(distribution: str) -> list[Entry] | None:
    """Return the ops of a distribution that lies on the path as installers leave it, ``None`` where it does not.

    Python's own library reads all kinds of metadata, and takes 12 ms to be imported.
    """
    prefix = distribution.replace("-", "_")
    for directory in sys.path:
        try:
            found = [
                entry for entry in os.listdir(directory or ".") if entry.lower().replace("-", "_").startswith(prefix)
            ]
        except FileNotFoundError:
            continue
        except OSError:
            return None  # an archive, or what nobody may look into
        metadata = [entry for entry in found if entry.endswith((".dist-info", ".egg-info", ".egg", ".egg-link"))]
        if metadata:
            stem, _, kind = metadata[0].rpartition(".")
            base, _, version = stem.partition("-")
            if len(metadata) > 1 or kind != "dist-info" or base != prefix or not version:
                return None
            return _listed(os.path.join(directory, metadata[0], "entry_points.txt"), distribution, version)
    return None


def _listed(path: str, distribution: str, version: str) -> list[Entry] | None:
    """Return the ops that a file of entry points lists, ``None`` where it cannot be read."""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except (OSError, ValueError):
        return None
    group, entries = "", []
    for line in lines:
        if line.startswith("["):
            group = line.strip("[]")
        elif group == OPS_GROUP and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            entries.append(Entry(name.strip(), value.strip(), distribution, version))
    return entries


def _from_metadata(distribution: str) -> list[Entry]:
    """Return the ops of a distribution, wherever it lies; none where it is not installed."""
    from importlib import metadata

    try:
        owner = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return []
    version = owner.version  # read from the metadata each time
    return [_entry(point, distribution, version) for point in owner.entry_points.select(group=OPS_GROUP)]


def _entry(point: "EntryPoint", distribution: str, version: str) -> Entry:
    return Entry(point.name, point.value, distribution, version, point.group)


def _distribution_name(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def refresh() -> None:
    """Forget what was read from metadata, so that a package installed since is found."""
    installed.cache_clear()
    _own_entries.cache_clear()


def _where_to_find(name: str) -> str:
    for distribution, offered in KNOWN_ELSEWHERE.items():
        if name in offered and not _own_entries(distribution.removeprefix("opgraph-")):
            return f"; it comes with {distribution}: pip install {distribution}"
    return way_to(name, flat_names())


def _other_contract(name: str) -> str:
    """Return a remark where an op of that name is written for another version of the contract."""
    from importlib.metadata import entry_points

    for point in entry_points(name=name):
        if point.group.startswith("opgraph.ops.") and point.group != OPS_GROUP:
            owner = f"{point.dist.name} {point.dist.version}" if point.dist else "a distribution"
            return f"; {owner} has it for {point.group}, this opgraph-core speaks {OPS_GROUP}"
    return ""


class Namespace:
    """The ops of one namespace as attributes: ``og.ops.acme.foo``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> FrontDoor:
        if name.startswith("__"):
            raise AttributeError(name)
        return get_function(f"{self._name}.{name}")

    def __dir__(self) -> Iterator[str]:
        return (n.partition(".")[2] for n in names(self._name) if "._" not in n)

    def __repr__(self) -> str:
        return f"<ops of namespace {self._name!r}>"


above.function = get_function
above.flat_names = flat_names
