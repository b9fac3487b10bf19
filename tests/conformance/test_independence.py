"""The kit shares no helper with what it checks: one that both use would hide its own bug."""

import ast
import re
from pathlib import Path

import opgraph.testing

KIT = Path(opgraph.testing.__file__).parent
# of the library's public names, those that compute shapes, reduce or slide windows
BANNED = re.compile(
    "broadcast.*|sum_to|reduce.*|normalize_.*|as_axes|.*_like|count|conv.*|.*pool.*|window.*|matmul|einsum|tensordot|"
    "promote.*|pad|gather|scatter.*|cumsum|softmax|.*norm"
)


def names_of_opgraph(tree):
    """Yield every name that a module takes from opgraph, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "og":
            yield node.attr, node.lineno
        elif isinstance(node, ast.ImportFrom) and re.match(r"opgraph(?!\.testing)", node.module or ""):
            yield from ((alias.name, node.lineno) for alias in node.names)


def test_the_kit_uses_none_of_the_library_s_helpers():
    files = sorted(KIT.rglob("*.py"))
    assert len(files) > 15
    found = [
        f"{path.relative_to(KIT)}:{line}: {name}"
        for path in files
        for name, line in names_of_opgraph(ast.parse(path.read_text(encoding="utf-8")))
        if BANNED.fullmatch(name)
    ]
    assert found == []


def test_what_is_banned_would_be_found():
    text = "import opgraph as og\nfrom opgraph.spec import broadcast_shapes\nog.reduce_sum(x)\nog.known_shape(y)"
    found = [name for name, _ in names_of_opgraph(ast.parse(text)) if BANNED.fullmatch(name)]
    assert sorted(found) == ["broadcast_shapes", "reduce_sum"]
