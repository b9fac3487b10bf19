"""A report as one HTML file that needs nothing else."""

from html import escape

from opgraph.testing.report import Report, Result, Status

# worst first: a cell stands for the worst of its results; told apart by sign as well as by colour
_CELLS: dict[Status, tuple[str, str]] = {
    "fail": ("✗", "fail"),
    "inconclusive": ("?", "inconclusive"),
    "expected": ("!", "expected"),
    "pass": ("✓", "pass"),
    "not applicable": ("·", "nothing"),
}
_TOLD: tuple[Status, ...] = ("fail", "inconclusive", "expected")

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 2rem; color: light-dark(#1a1a1a, #e8e8e8); background: light-dark(#fff, #161616); }
table { border-collapse: collapse; margin: 1.5rem 0; }
th { font-weight: 500; text-align: left; padding: 0 .6rem 0 0; white-space: nowrap; }
thead th { writing-mode: vertical-rl; transform: rotate(180deg); padding: .4rem 0 0; vertical-align: bottom; }
td { width: 1.7rem; height: 1.5rem; padding: 0; text-align: center; border: 1px solid light-dark(#fff, #161616); }
tbody tr:hover th { text-decoration: underline; }
td a { color: inherit; text-decoration: none; display: block; }
.pass { background: #d3ead7; color: #14532d; }
.fail { background: #b42318; color: #fff; font-weight: 700; }
.inconclusive { background: #f2c14e; color: #3d2c00; font-weight: 700; }
.expected { background: #d6dcf5; color: #27337a; }
.nothing { color: #8a8a8a; }
.key span { display: inline-block; width: 1.7rem; text-align: center; margin: 0 .3rem 0 1rem; }
details { margin: .4rem 0; } summary { cursor: pointer; }
pre { white-space: pre-wrap; margin: .3rem 0 1rem 1.2rem; padding: .6rem .8rem; border-left: 3px solid #999;
  background: light-dark(#f5f5f5, #222); font: 13px/1.4 ui-monospace, monospace; }
"""


def page(report: Report) -> str:
    """Return the report as an HTML document: a table of ops by checks, and what failed in full."""
    by_op: dict[str, dict[str, list[Result]]] = {}
    for result in report.results:
        by_op.setdefault(result.op, {}).setdefault(result.check, []).append(result)
    checks = list(dict.fromkeys(result.check for result in report.results))
    verdict = "Everything holds" if report.ok else f"{len(report.failures)} failures"
    key = "".join(f'<span class="{style}">{sign}</span>{status}' for status, (sign, style) in _CELLS.items())
    head = "".join(f"<th scope=col>{escape(check)}</th>" for check in checks)
    rows = "".join(
        f"<tr><th scope=row>{escape(op)}</th>{''.join(_cell(found.get(check, [])) for check in checks)}</tr>\n"
        for op, found in by_op.items()
    )
    details = "".join(_details(op, found) for op, found in by_op.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><title>opgraph conformance</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{verdict}</h1>\n<p>{escape(report.summary())}</p>\n"
        f'<p class="key">{key}</p>\n<table><thead><tr><th></th>{head}</tr></thead><tbody>\n{rows}</tbody></table>\n'
        f"{details}</body></html>\n"
    )


def _cell(results: list[Result]) -> str:
    """Return the cell of one op and check, with a link to the details if there are any."""
    if not results:
        return "<td></td>"
    worst = min((result.status for result in results), key=list(_CELLS).index)
    sign, style = _CELLS[worst]
    title = escape(f"{results[0].check}: {sum(r.status == worst for r in results)} of {len(results)} {worst}")
    content = f'<a href="#{_anchor(results[0])}">{sign}</a>' if worst in _TOLD else sign
    return f'<td class="{style}" title="{title}">{content}</td>'


def _details(op: str, found: dict[str, list[Result]]) -> str:
    """Return what is to be said of an op, folded where nothing failed."""
    told = {check: [r for r in results if r.status in _TOLD] for check, results in found.items()}
    sections = "".join(_section(results) for results in told.values() if results)
    failed = sum(not result.ok for results in told.values() for result in results)
    unfolded = " open" if failed else ""
    summary = f"{escape(op)}: {failed} failed" if failed else f"{escape(op)}: failures that it declares"
    return f"<details{unfolded}><summary>{summary}</summary>{sections}</details>\n" if sections else ""


def _section(results: list[Result]) -> str:
    texts = "".join(f"<pre>{escape(str(result))}</pre>" for result in results)
    return f'<div id="{_anchor(results[0])}">{texts}</div>'


def _anchor(result: Result) -> str:
    return escape(f"{result.op}-{result.check}", quote=True)
