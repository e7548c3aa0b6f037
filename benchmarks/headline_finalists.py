"""What the searches of the headline ended with: ``python benchmarks/headline_finalists.py RESULTS...``.

For every finalist the accuracy that its search saw, with the supernet's weights, and the one after training;
and Kendall's tau of both with each other, beside that of multiply-accumulates alone. Both are of validation
pictures. Reads what is kept of the cells (``results/CELL/stages``); a finalist that is not kept is left out.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from headline_table import markdown
from rhnas.codesign.loop import relative_entropy
from rhnas.codesign.reuse import finished_stages
from rhnas.codesign.stages import train_name
from rhnas.networks.spaces.registry import network_space
from rhnas.settings import parse_settings
from rhnas.study import Study


@dataclass(frozen=True)
class Finalist:
    """A network that a search ended with, trained.

    Attributes:
        cell: Of the headline.
        search: Whose.
        macs: Multiply-accumulates of a picture.
        supernet: Accuracy with the supernet's weights.
        trained: Accuracy after training from scratch.
        entropy: Of the search's alpha, as a fraction of the greatest possible.
        seconds: Of the search, and of the training.
    """

    cell: str
    search: str
    macs: int
    supernet: float
    trained: float
    entropy: float
    seconds: tuple[float, float]

    @property
    def row(self) -> list[str]:
        """Of the table."""
        accuracies = f"{self.supernet:.2%}", f"{self.trained:.2%}", f"{self.entropy:.2f}"
        return [
            self.cell,
            self.search,
            f"{self.macs / 1e6:.1f}",
            *accuracies,
            *map("{:.0f}".format, self.seconds),
        ]


HEADING = ["cell", "search", "MACs, M", "supernet", "trained", "entropy of alpha", "search, s", "training, s"]


def finalists(directory: Path) -> list[Finalist]:
    """Of one cell."""
    settings = parse_settings((directory / "config.toml").read_text(encoding="utf-8"))
    stages, space, found = finished_stages(Study(directory, settings)), network_space(settings.task.space), []
    for name, (ended, seconds, _) in stages.items():
        kind, _, search = name.partition("/")
        if kind != "search":
            continue
        entropy = relative_entropy([np.array(row) for row in ended["alpha"]])
        for options, accuracy in zip(ended["finalists"], ended["supernet_accuracies"], strict=True):
            training = stages.get(train_name(tuple(options)))
            if training is None:
                continue
            macs, took = space.workload(tuple(options)).macs, (seconds, training[1])
            trained = training[0]["accuracy"]
            found.append(Finalist(directory.name, search, macs, accuracy, trained, entropy, took))
    return found


def tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Kendall's, nan for fewer than two."""
    return float(kendalltau(first, second).statistic) if len(first) > 1 else math.nan


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path, help="directories under results")
    found = [each for directory in parser.parse_args().results for each in finalists(directory)]
    # Cells of other chips take over (a)'s searches for the baseline accelerator and for accuracy alone.
    own: dict[object, Finalist] = {}
    for each in found:
        own.setdefault((each.search, each.macs, each.supernet, each.trained), each)
    distinct = list(own.values())
    print(markdown(HEADING, [each.row for each in distinct]))
    trained = [each.trained for each in distinct]
    supernet = tau([each.supernet for each in distinct], trained)
    size = tau([each.macs for each in distinct], trained)
    print(f"Kendall's tau with accuracy after training, {len(distinct)} finalists:", end=" ")
    print(f"the supernet's accuracy {supernet:.2f}; multiply-accumulates {size:.2f}")


if __name__ == "__main__":
    main()
