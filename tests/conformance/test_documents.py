"""The ops that the documentation defines pass the conformance kit as they stand, since readers begin with them."""

import importlib
import re
import sys
from pathlib import Path

import pytest

import opgraph as og
from opgraph.testing import check_op

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
CLASS = re.compile(r"^class (\w+)\(og\.(?:Op|Elementwise)\b", re.MULTILINE)


def defined():
    """Yield the code of each document that defines ops, up to its last one, and their names."""
    for path in [*ROOT.glob("*.md"), *ROOT.glob("opgraph-*/*.md"), *ROOT.glob("docs/**/*.md")]:
        blocks = BLOCK.findall(path.read_text(encoding="utf-8"))
        last = max((n for n, block in enumerate(blocks) if CLASS.search(block)), default=-1)
        code = "".join(blocks[: last + 1])
        for name in CLASS.findall(code):
            yield pytest.param(code, name, id=f"{path.relative_to(ROOT)}-{name}")


CASES = list(defined())
wrong_on_purpose = {"docs/conformance.md-Cube"}


@pytest.mark.parametrize(("code", "name"), [case for case in CASES if case.id not in wrong_on_purpose])
def test_an_op_of_the_documentation_passes_the_kit(code, name, tmp_path, monkeypatch):
    (tmp_path / "documented_ops.py").write_text(code, encoding="utf-8")  # a module, which pickling finds
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "documented_ops", raising=False)
    monkeypatch.setattr(og.registry, "_registered", dict(og.registry._registered))
    with og.Graph().as_default_graph():
        module = importlib.import_module("documented_ops")
        for other in CLASS.findall(code):
            og.register(getattr(module, other))
        report = check_op(getattr(module, name))
    assert report.ok, str(report)


def test_the_ops_of_the_documentation_are_found():
    assert {case.id for case in CASES} >= {"README.md-Softplus", "docs/writing-an-op.md-MaxLast", *wrong_on_purpose}
