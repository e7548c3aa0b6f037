"""Numbers and small pieces of HTML, all escaped, none invented."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

THIN = "\u202f"
"""Narrow no-break space, between thousands and before units."""

HOW = {
    "modelled": "computed by the cost model",
    "measured": "counted on the data set",
    "simulated": "counted by the instruction-level simulator",
    "rtl": "counted by running the generated Verilog",
    "synthesized": "reported by synthesis or placement",
}


def significant(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, thousands grouped, without an exponent.

    Example:
        >>> significant(0.012345), significant(1234567.0), significant(2.0)
        ('0.0123', '1\u202f230\u202f000', '2.00')
    """
    rounded = float(f"{value:.{digits}g}")
    if rounded == 0:
        return "0"
    decimals = max(digits - len(f"{abs(rounded):.0f}") + (abs(rounded) < 1), 0)
    if abs(rounded) < 1:
        decimals = max(digits - 1 - int(f"{rounded:e}".split("e")[1]), 0)
    return f"{rounded:,.{decimals}f}".replace(",", THIN).replace("-", "−")


def integer(value: float) -> str:
    """A count, thousands grouped."""
    return f"{round(value):,}".replace(",", THIN).replace("-", "−")


def percent(share: float) -> str:
    """A fraction as a percentage with two decimals."""
    return f"{100 * share:.2f}{THIN}%"


def points(difference: float) -> str:
    """A difference of fractions in percentage points, always signed.

    Example:
        >>> points(-0.0025), points(0.0)
        ('−0.25', '±0.00')
    """
    value = round(100 * difference, 2)
    return "±0.00" if value == 0 else f"{value:+.2f}".replace("-", "−")


def times(ratio: float) -> str:
    """A ratio with its sign of multiplication."""
    return f"{significant(ratio)}{THIN}×"


def lower(ratio: float) -> str:
    """How much lower than the baseline, in words that stay true when it is higher.

    Example:
        >>> lower(2.0), lower(0.5), lower(1.001)
        ('2.00\u202f× lower', '2.00\u202f× higher', 'equal')
    """
    if abs(ratio - 1) < 0.005:
        return "equal"
    return f"{times(ratio)} lower" if ratio > 1 else f"{times(1 / ratio)} higher"


def kib(size_bytes: int) -> str:
    """Bytes in KiB."""
    return f"{significant(size_bytes / 1024) if size_bytes % 1024 else size_bytes // 1024}{THIN}KiB"


def seconds(value: float) -> str:
    """A duration in the unit a person would choose."""
    if value < 120:
        return f"{value:.1f}{THIN}s"
    return f"{value / 60:.1f}{THIN}min" if value < 7200 else f"{value / 3600:.1f}{THIN}h"


def badge(how: str | None) -> str:
    """The label that says how a figure was obtained."""
    if how is None:
        return '<span class="badge unsaid" title="the file does not say how">unlabelled</span>'
    name = escape(how)
    return f'<span class="badge {name}" title="{escape(HOW.get(how, how))}">{name}</span>'


def absent(text: str) -> str:
    """A piece that is not there, said plainly."""
    return f'<p class="absent">{escape(text)}</p>'


def cell(value: float | None, written: str | None = None) -> str:
    """A table cell with a number; a dash where there is none."""
    if value is None:
        return '<td class="n none" title="not recorded">–</td>'
    return f'<td class="n">{written if written is not None else significant(value)}</td>'


def table(headings: Sequence[str], rows: Iterable[str], *, caption: str) -> str:
    """A table of ready rows; headings may hold badges."""
    head = "".join(f'<th scope="col">{heading}</th>' for heading in headings)
    body = "".join(rows)
    inner = f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f"<table>{inner}</table>"


def section(name: str, title: str, *body: str) -> str:
    """A titled part of the page."""
    inner = "\n".join(part for part in body if part)
    head = f'<section id="{name}" aria-labelledby="{name}-title">\n<h2 id="{name}-title">{title}</h2>'
    return f"{head}\n{inner}\n</section>"
