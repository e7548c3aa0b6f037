"""Results of ``rhnas bench`` as Markdown tables: ``python benchmarks/bench_table.py [NAME ...]``."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rhnas.files import read_json

RESULTS = Path(__file__).parents[1] / "results" / "bench"
COLUMNS = (
    "scheme",
    "headroom closed",
    "95%",
    "EDP above the optimum",
    "95%",
    "no answer",
    "hypervolume",
    "look-ups",
    "designs",
    "unrealizable",
    "s a run",
    "w/t/l",
    "p",
)


def share(value: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return "-" if value is None else f"{value:.2%}"


def row_of(scheme: str, found: Mapping[str, Any]) -> list[str]:
    """One scheme's cells."""
    return [
        f"`{scheme}`",
        share(found["closed"]),
        " to ".join(map(share, found["closed_interval"] or [None])),
        share(found["regret"]),
        " to ".join(map(share, found["regret_interval"] or [None])),
        str(found["unanswered"]),
        f"{found['hypervolume']:.3f}",
        f"{found['lookups']:.0f}",
        f"{found['designs']:,.0f}",
        f"{found['unrealizable']:,.0f}",
        f"{found['seconds']:.1f}",
        "/".join(map(str, found["wins"] or "-")),
        "-" if found["p"] is None else f"{found['p']:.1g}",
    ]


def main() -> None:
    """Print the table of every benchmark named, of all that have been played if none is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    for name in parser.parse_args().names or sorted(path.stem for path in RESULTS.glob("*.json")):
        found = read_json(RESULTS / f"{name}.json")
        wide = sum(entry["headroom"] >= 1.2 for entry in found["headroom"])
        print(
            f"\n{name}: {found['networks']:,} networks x {found['designs']:,} designs, "
            f"{found['seeds']} seeds, accuracies {found['thresholds']}; "
            f"headroom at least 1.2 at {wide} of {len(found['headroom'])}\n"
        )
        rows = [row_of(scheme, figures) for scheme, figures in found["schemes"].items()]
        for cells in (COLUMNS, ["---"] * len(COLUMNS), *rows):
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
