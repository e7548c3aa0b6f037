"""What a supernet of ``macro`` is worth: Kendall's tau with NAS-Bench-Macro, and where its strategies end.

``RHNAS_DATA=... python benchmarks/supernet_rank.py --epochs 20`` (CIFAR-10, and the table
``tables/nas-bench-macro_cifar10.json``). Stages, each kept under ``--work`` and skipped when it is there; a
search is resumed from its last epoch:

``supernet``  paths drawn uniformly train the weights; 200 networks are scored on the validation part. Their
              tau with the table stands beside that of FLOPs on the same networks. The best of the 200 is what
              random search with shared weights finds.
``NAME``      one search by each strategy on the same pictures, without cost: its network's rank in the table.
``random``    random search with networks trained on their own, in the seconds that each strategy took: one
              is taken to cost ``--full-epochs`` epochs, timed here; the expected best of so many draws
              follows from the table.

``--stages fbnet darts`` runs these alone, so that another core can run the rest beside them in the same
``--work``; the table is printed by the call that finds all of them.

``--smoke`` is all of it on a few hundred pictures, to see that it runs; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau

from rhnas.errors import DataError
from rhnas.files import find_data, read_json, write_atomically, write_json
from rhnas.nas.data.dataset import DataSet
from rhnas.nas.data.load import load_data
from rhnas.nas.network import Network
from rhnas.nas.search import DifferentiableSearch
from rhnas.nas.strategies.registry import STRATEGIES
from rhnas.nas.supernet import SuperNet
from rhnas.nas.train import Training
from rhnas.networks.spaces.base import Architecture
from rhnas.networks.spaces.macro import Macro
from rhnas.provenance import provenance
from rhnas.seeds import Seeds
from rhnas.settings import NasSettings, TrainSettings

NETWORKS = 200
"""Scored with the supernet's weights."""
NO_PART_OF_IT = {"stages", "table", "work", "out", "smoke"}
"""Options that do not change what comes out."""
TIMED_STEPS = 20
"""Of a training, from which its length is told."""


class Table:
    """NAS-Bench-Macro: mean accuracy in percent, and FLOPs, of every network."""

    def __init__(self) -> None:
        path = find_data("tables/nas-bench-macro_cifar10.json")
        if path is None:
            raise DataError("tables/nas-bench-macro_cifar10.json must lie under an entry of RHNAS_DATA")
        rows = json.loads(path.read_text())
        self.accuracy = {key: float(row["mean_acc"]) for key, row in rows.items()}
        self.flops = {key: int(row["flops"]) for key, row in rows.items()}
        self.sorted = np.sort(list(self.accuracy.values()))[::-1]

    def rank(self, key: str) -> int:
        """From 1, the best, to 6,561."""
        return 1 + int((self.sorted > self.accuracy[key]).sum())

    def best_of(self, draws: int) -> tuple[float, float]:
        """Expected accuracy and rank of the best of so many draws with replacement."""
        below = 1 - np.arange(len(self.sorted) + 1) / len(self.sorted)
        share = below[:-1] ** draws - below[1:] ** draws  # P(the best has this rank)
        return float(share @ self.sorted), float(share @ np.arange(1, len(self.sorted) + 1))


class Bench:
    """The stages, each a JSON file in a folder."""

    def __init__(self, arguments: argparse.Namespace, data: DataSet, table: Table) -> None:
        self.given = arguments
        self.data = data
        self.table = table
        self.space = Macro()
        self.folder: Path = arguments.work

    def result(self) -> dict[str, Any]:
        """What was asked for, and is missing, is run; without ``random`` where a search is not there yet."""
        runs: dict[str, Callable[[], dict[str, Any]]] = {"supernet": self._supernet}
        runs |= {name: partial(self._search, name) for name in STRATEGIES}
        found = {name: self._stage(name, runs[name]) for name in self.given.stages}
        if found.keys() == runs.keys():
            found["random"] = self._stage("random", lambda: self._random(found))
        return found

    def _stage(self, name: str, run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        path = self.folder / f"{name}.json"
        if not path.is_file():
            write_json(path, run())
            print(f"{name}: {path}", flush=True)
        return read_json(path)

    def _supernet(self) -> dict[str, Any]:
        epochs = self.given.supernet_epochs
        search, seconds = self._searched("supernet", "dsnas", epochs, warmup=epochs)
        rng = Seeds(root=self.given.seed).child("networks").numpy()
        networks: dict[Architecture, None] = {}
        while len(networks) < self.given.networks:
            networks[self.space.sample(rng)] = None
        keys = [self.space.key(network) for network in networks]
        scores = [search.accuracy(network) for network in networks]
        truth = [self.table.accuracy[key] for key in keys]
        best = keys[int(np.argmax(scores))]
        return {
            "networks": dict(zip(keys, scores, strict=True)),
            "tau": float(kendalltau(scores, truth).statistic),
            "tau_flops": float(kendalltau([self.table.flops[key] for key in keys], truth).statistic),
            "seconds": seconds,
            **self._worth(best),
        }

    def _search(self, name: str) -> dict[str, Any]:
        search, seconds = self._searched(name, name, self.given.epochs, warmup=self.given.warmup)
        return {"seconds": seconds, **self._worth(self.space.key(search.strategy.derive()))}

    def _worth(self, key: str) -> dict[str, Any]:
        accuracy, rank = self.table.accuracy[key], self.table.rank(key)
        return {"network": key, "table_accuracy": accuracy, "rank": rank, "flops": self.table.flops[key]}

    def _searched(
        self, stage: str, strategy: str, epochs: int, *, warmup: int
    ) -> tuple[DifferentiableSearch, float]:
        """A finished search, resumed from its last epoch, and the seconds it took."""
        seeds = Seeds(root=self.given.seed)
        settings = NasSettings(
            strategy=strategy,
            epochs=epochs,
            warmup=warmup,
            batch=self.given.batch,
            learning_rate=self.given.rate,
        )
        net = SuperNet(self.space, seeds.child("supernet")).to(self.data.train.labels.device)
        search = DifferentiableSearch(net, settings, self.data, seeds.child("search"))
        checkpoint, seconds = self.folder / f"{stage}.pt", 0.0
        if checkpoint.is_file():
            saved = torch.load(checkpoint, weights_only=True)
            search.restore(saved["search"])
            seconds = saved["seconds"]
        while not search.finished:
            begun = time.perf_counter()
            losses = [search.step().loss for _ in range(search.batches.per_epoch)]
            seconds += time.perf_counter() - begun
            buffer = io.BytesIO()
            torch.save({"search": search.state(), "seconds": seconds}, buffer)
            write_atomically(checkpoint, buffer.getvalue())
            print(f"{stage}: step {search.position}/{search.steps}, loss {fmean(losses):.3f}", flush=True)
        return search, seconds

    def _random(self, found: dict[str, Any]) -> dict[str, Any]:
        """Best of as many trained networks as fit into a search; at least one."""
        seeds = Seeds(root=self.given.seed).child("random")
        middle = sorted(self.table.flops, key=self.table.flops.__getitem__)[len(self.table.flops) // 2]
        network = Network(self.space.workload(tuple(map(int, middle))), seeds)
        network = network.to(self.data.train.labels.device)
        training = Training(network, TrainSettings(batch=self.given.batch), self.data, seeds)
        training.step()
        begun = time.perf_counter()
        for _ in range(TIMED_STEPS):
            training.step()
        epoch = (time.perf_counter() - begun) / TIMED_STEPS * training.batches.per_epoch
        rows = {}
        for name in STRATEGIES:
            draws = max(1, int(found[name]["seconds"] / (epoch * self.given.full_epochs)))
            accuracy, rank = self.table.best_of(draws)
            rows[name] = {"draws": draws, "expected_accuracy": accuracy, "expected_rank": rank}
        return {"network": middle, "seconds_per_epoch": epoch, "in_the_time_of": rows}


def show(found: dict[str, Any]) -> None:
    """One row per search."""
    net, equal = found["supernet"], found["random"]["in_the_time_of"]
    whole = found["options"]["full_epochs"] * found["random"]["seconds_per_epoch"]
    print(f"Kendall's tau on {len(net['networks'])} networks: {net['tau']:.2f}; FLOPs {net['tau_flops']:.2f}")
    print(f"training {found['random']['network']} whole: {whole:.0f} s, told from {TIMED_STEPS} steps")
    print(f"{'search':10} {'network':9} {'accuracy':>8} {'rank':>5} {'seconds':>8}  random in that time")
    for name in ("supernet", *STRATEGIES):
        row = found[name]
        rival = equal.get(name)
        told = "(best of those scored)"
        if rival:
            told = (
                f"{rival['draws']} drawn: {rival['expected_accuracy']:.2f}, rank {rival['expected_rank']:.0f}"
            )
        figures = f"{row['table_accuracy']:8.2f} {row['rank']:5} {row['seconds']:8.0f}"
        print(f"{name:10} {row['network']:9} {figures}  {told}")


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20, help="of each strategy")
    parser.add_argument("--supernet-epochs", type=int, default=20)
    parser.add_argument(
        "--warmup", type=int, default=5, help="epochs in which a strategy's alpha stands still"
    )
    parser.add_argument("--train", type=int, default=None, help="training pictures; all 45,000 if left out")
    parser.add_argument("--validation", type=int, default=5000, help="pictures that score a network")
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--networks", type=int, default=NETWORKS)
    parser.add_argument(
        "--full-epochs", type=int, default=50, help="taken for what training one network costs"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/supernet-rank"), help="stages and checkpoints"
    )
    stages = ("supernet", *STRATEGIES)
    parser.add_argument("--stages", nargs="+", choices=stages, default=stages, help="all if left out")
    parser.add_argument("--out", type=Path, default=Path("results/supernet-rank.json"))
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--table", action="store_true", help="print what --out holds; run nothing")
    given = parser.parse_args()
    if given.smoke:
        given.epochs, given.warmup, given.train, given.networks = 2, 1, 192, 10
        given.supernet_epochs, given.validation = 2, 100
        given.work, given.out = Path("runs/supernet-rank-smoke"), Path("runs/supernet-rank-smoke/result.json")
    return given


def main() -> None:
    """Run what is missing, write the result, print the table."""
    given = arguments()
    if given.table:
        show(read_json(given.out))
        return
    data = load_data(
        "cifar10",
        Seeds(root=given.seed),
        picture=Macro.picture,
        train=given.train,
        validation=given.validation,
    )
    data = replace(data, train=data.train.to(given.device), validation=data.validation.to(given.device))
    options = {key: value for key, value in vars(given).items() if key not in NO_PART_OF_IT}
    given.work.mkdir(parents=True, exist_ok=True)
    asked = given.work / "options.json"
    if asked.is_file() and read_json(asked) != options:
        raise SystemExit(f"{given.work} holds stages of other options; choose another --work")
    write_json(asked, options)
    found = Bench(given, data, Table()).result()
    if "random" not in found:
        return
    given.out.parent.mkdir(parents=True, exist_ok=True)
    found = {"options": options, "provenance": provenance(), **found}
    write_json(given.out, found)
    show(found)


if __name__ == "__main__":
    main()
