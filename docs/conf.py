"""How Sphinx builds the documentation."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

project = "opgraph"
author = "the opgraph developers"
copyright = f"2026, {author}"
core = tomllib.loads((ROOT / "opgraph-core/pyproject.toml").read_text(encoding="utf-8"))
release = core["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = False
napoleon_use_rtype = False
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"opgraph {release}"
