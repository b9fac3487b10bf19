"""Tables: plain text everywhere, better looking where rich or a notebook shows them."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table as RichTable


@dataclass(frozen=True)
class Column:
    """A column: its title, on which side its cells stand, and how wide they are before they go on in the next line."""

    title: str
    right: bool = False
    width: int = 40


@dataclass(frozen=True)
class Table:
    """Rows of text below titles."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [[[column.title] for column in self.columns]]
        lines += [[_folded(cell, c.width) for cell, c in zip(row, self.columns, strict=True)] for row in self.rows]
        widths = [max(len(text) for row in lines for text in row[k]) for k in range(len(self.columns))]
        texts = [self._text(row, widths) for row in lines]
        return "\n".join([texts[0], "  ".join("-" * width for width in widths), *texts[1:]])

    def __rich__(self) -> "RichTable":
        from rich import box
        from rich.table import Table as RichTable
        from rich.text import Text

        table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in self.columns:
            table.add_column(
                column.title, justify="right" if column.right else "left", no_wrap=column.right, overflow="fold"
            )
        for row in self.rows:
            table.add_row(*map(Text, row))  # a name may hold brackets, which are no markup
        return table

    def to_html(self) -> str:
        """Return the table as HTML."""
        from html import escape

        def line(tag: str, cells: Sequence[str]) -> str:
            sides = [' style="text-align: right"' if c.right else ' style="text-align: left"' for c in self.columns]
            cells = [f"<{tag}{side}>{escape(cell)}</{tag}>" for cell, side in zip(cells, sides, strict=True)]
            return f"<tr>{''.join(cells)}</tr>"

        head = line("th", [column.title for column in self.columns])
        return f"<table><thead>{head}</thead><tbody>{''.join(line('td', row) for row in self.rows)}</tbody></table>"

    def _text(self, row: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
        lines = []
        for at in range(max(map(len, row))):
            cells = [cell[at] if at < len(cell) else "" for cell in row]
            padded = [
                cell.rjust(width) if column.right else cell.ljust(width)
                for cell, width, column in zip(cells, widths, self.columns, strict=True)
            ]
            lines.append("  ".join(padded).rstrip())
        return "\n".join(lines)


class Report:
    """Lines of text with tables below them, each with a title."""

    def summary(self) -> list[str]:
        """Return the lines above the tables."""
        raise NotImplementedError

    def tables(self) -> list[tuple[str, Table]]:
        """Return the tables with their titles."""
        raise NotImplementedError

    def __str__(self) -> str:
        tables = [f"{title}\n{table}" if title else str(table) for title, table in self.tables()]
        return "\n\n".join(["\n".join(self.summary()), *tables])

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        shown: list[Any] = [Text("\n".join(self.summary()))]
        for title, table in self.tables():
            shown += [Text(f"\n{title}" if title else "", style="bold"), table]
        return Group(*shown)

    def _repr_html_(self) -> str:
        from html import escape

        parts = [f"<pre>{escape(chr(10).join(self.summary()))}</pre>"]
        parts += [(f"<p>{escape(title)}</p>" if title else "") + table.to_html() for title, table in self.tables()]
        return "".join(parts)


def quantity(number: float, unit: str = "") -> str:
    """Return a number in three digits: ``12 B``, ``1.05 MB``, ``268 M``."""
    for prefix in ("", "k", "M", "G", "T", "P"):
        if abs(number) < 999.5 or prefix == "P":
            break
        number /= 1000
    digits = f"{number:.0f}" if not prefix and number == int(number) else f"{number:.3g}"
    return f"{digits} {prefix}{unit}".rstrip()


def duration(seconds: float) -> str:
    """Return a time in three digits: ``12.3 ms``."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 0.9995:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.0f} ns" if seconds else "0"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Return the first names, and how many more there are."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def counted(n: int, singular: str, plural: str = "") -> str:
    """Return ``1 step``, ``3 steps``."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def _folded(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
