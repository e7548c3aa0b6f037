"""One run directory to one self-contained page."""

from __future__ import annotations

from html import escape
from importlib import resources
from pathlib import Path

from rhnas.files import write_atomically
from rhnas.report import evidence, proof, sections
from rhnas.report.run import Run

REPORT = "report.html"

PARTS = (
    sections.headline,
    sections.chips,
    sections.gains,
    sections.schemes,
    sections.pareto,
    sections.networks,
    evidence.layers,
    evidence.convergence,
    evidence.cost,
    proof.proof,
    evidence.provenance,
)
"""The page from top to bottom."""


def render(study_dir: Path) -> Path:
    """Write ``report.html`` into a run directory, from its files alone.

    Reads ``config.toml``, ``trials.jsonl``, ``result.json`` and ``verify.json``, each as far as it is there;
    what is missing is said on the page. The page loads nothing from anywhere.

    Args:
        study_dir: The directory of a search, finished or not.

    Returns:
        The page's path.

    Raises:
        RhnasError: It is not a run directory, or a file in it cannot be read or written.
    """
    page = study_dir / REPORT
    write_atomically(page, page_of(Run.load(study_dir)))
    return page


def page_of(run: Run) -> str:
    """The whole page as text."""
    body = "\n".join(part(run) for part in PARTS)
    scripts = (_plotly(), asset("page.js")) if "data-plot=" in body else ()
    ending = "\n".join(f"<script>{script}</script>" for script in scripts)
    return document(run.title, f"{body}\n</main>\n{ending}")


def document(title: str, body: str) -> str:
    """A self-contained page from its title and what follows ``<main>``, the closing tag included."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)} · rhnas</title>
<link rel="icon" href="data:,">
<style>{asset("style.css")}</style>
</head>
<body>
<main>
{body}
</body>
</html>
"""


def asset(name: str) -> str:
    """A file that belongs to the page."""
    return (resources.files("rhnas.report") / "assets" / name).read_text(encoding="utf-8")


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())
