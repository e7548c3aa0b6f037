"""The preset ``imagenet`` from full-size files to the Verilog, on a synthetic folder.

``python benchmarks/imagenet_path.py`` draws JPEG files of the sizes that ImageNet has into the layout that
ImageNet has, searches, trains and quantizes at 224x224 pixels with the preset's space, chip and schemes and
the smallest budgets, then runs a test picture through the simulator and the generated Verilog. What is shown
is that the path works and what it takes; pictures of noise teach nothing, so no accuracy is printed. The same
command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
from PIL import Image

from headline_table import markdown
from rhnas.codesign.run import run
from rhnas.codesign.schemes.table import SCHEMES
from rhnas.settings import load_settings
from rhnas.study import open_study
from rhnas.verify import Checks, verify

CLASSES = 20
SIZES = ((500, 375), (375, 500), (500, 333), (640, 480))
"""Width and height in pixels."""
BUDGETS = (
    *(f"task.classes={CLASSES}", "task.validation=20", "nas.epochs=2", "nas.warmup=1", "nas.batch=10"),
    *("nas.candidates=2", "agent.every=1", "train.epochs=1", "train.batch=10"),
    *("quantize.batch=10", "quantize.calibration=16", "run.threads=1", "run.device=cpu"),
)
"""How the run differs from the preset."""


def draw(folder: Path, per_class: int, rng: np.random.Generator) -> None:
    """Smooth noise, a colour cast per class, as JPEG files ``CLASS/NUMBER.JPEG``."""
    for label in range(CLASSES):
        cast = rng.uniform(0, 128, 3)
        for number in range(per_class):
            path = folder / f"n{label:08d}" / f"{number}.JPEG"
            path.parent.mkdir(parents=True, exist_ok=True)
            coarse = (cast + rng.uniform(0, 127, (12, 16, 3))).astype(np.uint8)
            size = SIZES[number % len(SIZES)]
            Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def main() -> None:
    """Draw, search, prove, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/imagenet-path"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=4, help="training pictures a class")
    parser.add_argument("--workers", type=int, default=2, help="searches or trainings at a time")
    given = parser.parse_args()
    begun = time.monotonic()
    data = given.out / "data"
    if not (data / "imagenet").exists():
        rng = np.random.default_rng(given.seed)
        draw(data / "drawn" / "train", given.pictures, rng)
        draw(data / "drawn" / "val", 1, rng)
        (data / "drawn").rename(data / "imagenet")
    os.environ["RHNAS_DATA"] = str(data)
    settings = load_settings("imagenet", [*BUDGETS, f"run.seed={given.seed}"])
    study = open_study(given.out / "run", settings, resume=True, overwrite=False)
    result = run(study, workers=given.workers)
    searched = time.monotonic() - begun
    schemes = [scheme.key for scheme in SCHEMES]
    proofs = verify(study.directory, schemes, Checks(images=1, rtl=True), print)["schemes"]
    rows = [
        [
            key,
            result[key]["label"],
            f"{result[key]['macs']:,}",
            *(f"{proofs[key]['cycles'][how]:,}" for how in ("modelled", "simulated", "rtl")),
            "yes" if proofs[key]["bit_exact"] else "no",
        ]
        for key in schemes
    ]
    heading = ["scheme", "accelerator", "network MACs", "cycles, modelled", "simulated", "RTL", "bit for bit"]
    print(markdown(heading, rows))
    print(f"searched in {searched:.0f} s, proved in {time.monotonic() - begun - searched:.0f} s")


if __name__ == "__main__":
    main()
