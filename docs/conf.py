"""How Sphinx builds the documentation."""

import inspect
import tomllib
from pathlib import Path

import opgraph as og
from opgraph.testing.check import all_checks

ROOT = Path(__file__).resolve().parents[1]

project = "opgraph"
author = "the opgraph developers"
copyright = f"2026, {author}"
core = tomllib.loads((ROOT / "opgraph-core/pyproject.toml").read_text(encoding="utf-8"))
release = core["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# shown by their names, not by what they stand for
autodoc_type_aliases = {name: name for name in ("NodeLike", "DtypeLike", "ShapeLike", "ArrayLike", "Axes", "Array")}
napoleon_google_docstring = False
napoleon_use_rtype = False
myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"opgraph {release}"


def list_ops(app):
    """Write the page that lists every installed op, from what the registry holds."""
    lines = ["# All ops", "", "What is installed here, by namespace and in the order of their names."]
    for namespace in sorted({name.partition(".")[0] for name in og.registry.names()}):
        lines += ["", f"## {namespace}", ""]
        for name in og.registry.names(namespace):
            local = name.partition(".")[2]
            if not local.startswith("_"):
                function = og.registry.get_function(name)
                module = "opgraph" if namespace == "core" else f"opgraph_{namespace}"
                arguments = ", ".join(str(p.replace(annotation=p.empty)) for p in parameters(function))
                summary = inspect.getdoc(function).partition("\n\n")[0].replace("\n", " ")
                lines += [f"{{py:obj}}`{local} <{module}.{local}>` `({arguments})`", f": {summary}", ""]
    (ROOT / "docs/reference/ops.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def list_checks(app):
    """Write the page that lists what the conformance kit checks, from what the checks say of themselves."""
    lines = ["# All checks", "", "What `opgraph check` holds every op to, one after the other."]
    for check in all_checks():
        lines += ["", f"`{check.name}`", f": {check.promise()}"]
    (ROOT / "docs/reference/checks.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def parameters(function):
    return inspect.signature(function).parameters.values()


def leave_out_fields(app, what, name, thing, skip, options):
    """Leave the fields of a named tuple to its docstring, which describes them."""
    return True if type(thing).__name__ == "_tuplegetter" else None


def setup(app):
    app.connect("autodoc-skip-member", leave_out_fields)
    app.connect("builder-inited", list_ops)
    app.connect("builder-inited", list_checks)
