"""The stages of a run in order: search by every scheme, train, tune the hardware, read the test set once."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rhnas.agents.registry import make_agent
from rhnas.codesign.archive import Archive
from rhnas.codesign.certify import Certifier, Measured, certificate
from rhnas.codesign.choice import ROUNDING, Finalist, choose
from rhnas.codesign.hardware import HardwareSide
from rhnas.codesign.loop import CoDesign
from rhnas.codesign.problem import Problem
from rhnas.codesign.results import Chosen, result_of
from rhnas.codesign.retime import RETIMED, retimed
from rhnas.codesign.schemes.responses import MOST_DESIGNS, RESPONSES
from rhnas.codesign.schemes.table import AWARE, NetworkSearch, Scheme, schemes_with, searches_of
from rhnas.codesign.stages import (
    Progress,
    Silence,
    Stage,
    Stages,
    State,
    as_state,
    content_of,
    quantize_name,
    train_name,
)
from rhnas.codesign.workers import Crew
from rhnas.errors import SettingsError
from rhnas.files import write_atomically
from rhnas.nas.integer import integer_accuracy, integer_network
from rhnas.nas.network import Network
from rhnas.nas.search import DifferentiableSearch
from rhnas.nas.supernet import SuperNet
from rhnas.nas.train import Training, evaluate, halved
from rhnas.networks.spaces.base import Architecture
from rhnas.networks.tables import LayerCounts
from rhnas.quantized import NETWORK_FILE, QuantizedNetwork
from rhnas.workload import FloatArray, Layer


class Run:
    """The stages of one run, in order; ``result`` reads like the experiment.

    Args:
        problem: What is searched.
        stages: Runs them, once each.
        progress: Who is told how far they are.
        crew: Carries out side by side what does not wait for each other; None for one after the other.

    Raises:
        SettingsError: A further scheme is unknown, or there are too many designs for it.
    """

    def __init__(
        self, problem: Problem, stages: Stages, progress: Progress | None = None, crew: Crew | None = None
    ) -> None:
        self.problem = problem
        self.stages = stages
        self.progress: Progress = progress or Silence()
        self.crew = crew
        self.counts = LayerCounts.of(problem.networks)
        self.schemes = schemes_with(problem.settings.run.schemes, problem.settings.objective.weight)
        self.searches = searches_of(self.schemes)
        exact = any(search.response == "exact" for search in self.searches)
        if exact and problem.designs.count > MOST_DESIGNS:
            raise SettingsError(
                f"scheme exact costs every design and must have at most {MOST_DESIGNS:,}",
                got=f"{problem.designs.count:,}",
                fix="narrow platform.space or platform.limits",
            )

    def result(self) -> dict[str, Any]:
        """Search, train, choose, tune, test."""
        self._all([_search_name(search) for search in self.searches])
        self._all([train_name(each) for search in self.searches for each in self._finalists(search)])
        self._all([quantize_name(self._choice(scheme.network)) for scheme in self.schemes])
        chosen = [self._chosen(scheme) for scheme in self.schemes]
        for each in chosen:
            write_atomically(self._integer_path(each.scheme.key), self._quantized(each.architecture))
        simulated = {c.scheme.key: self._simulated(c) for c in chosen}
        tested = self.stages.run("test", lambda _: self._test(chosen))
        certified = self._certified(chosen)
        accuracies = tested["accuracy"], tested["accuracy_int8"]
        return result_of(self.problem, chosen, simulated, *accuracies, certificate=certified)

    def _all(self, names: list[str]) -> None:
        """Stages that do not wait for each other."""
        names = list(dict.fromkeys(names))
        if self.crew is not None and (waiting := self.stages.open(names)):
            self.stages.may_begin(waiting[0])
            self.crew.carry_out(waiting)
        for name in names:
            self.carry_out(name)

    def carry_out(self, name: str) -> State:
        """A network search, a training or the integers of a trained network by the name of its stage."""
        kind, _, what = name.partition("/")
        if kind == "search":
            return self._searched(next(search for search in self.searches if search.name == what))
        architecture = tuple(int(option) for option in what.split("-"))
        if kind == "train":
            return self._trained(architecture)
        return self.stages.run(name, partial(self._quantize, architecture))

    # The network searches -----------------------------------------------------------------------------

    def _searched(self, search: NetworkSearch) -> State:
        return self.stages.run(_search_name(search), partial(self._search, search))

    def _finalists(self, search: NetworkSearch) -> list[Architecture]:
        return [tuple(options) for options in self._searched(search)["finalists"]]

    def _search(self, search: NetworkSearch, resume: State | None) -> Stage:
        settings, seeds = self.problem.settings, self.problem.seeds
        loop = self.codesign(search)
        if resume is not None:
            loop.restore(resume)
        self.progress.stage(f"{search.name}: network search", loop.networks.steps)
        for trial in loop:
            self.stages.record({"scheme": search.name, "stage": "search", **asdict(trial)})
            self.progress.update(trial.step, f"loss {trial.loss:.2f}, cost x{np.exp(trial.best):.2f}")
            yield loop.state
        settled = loop.settle(settings.nas.candidates, seeds.child("settle"))
        return {
            "finalists": [list(a) for a in settled.architectures[: settings.nas.finalists]],
            "supernet_accuracies": list(settled.accuracies[: settings.nas.finalists]),
            "candidates": [list(a) for a in settled.architectures],
            "errors": [1 - accuracy for accuracy in settled.accuracies],
            "rounds": settled.rounds,
            "archive": loop.hardware.archive.state(),
            "alpha": [row.tolist() for row in loop.networks.supernet.probabilities()],
        }

    def codesign(self, search: NetworkSearch) -> CoDesign:
        """The loop of a network search, at its start; all searches begin with the same supernet."""
        problem, settings, seeds = self.problem, self.problem.settings, self.problem.seeds
        supernet = SuperNet(problem.networks, seeds.child("supernet"), problem.arithmetic)
        networks = DifferentiableSearch(
            supernet.to(problem.device),
            settings.nas,
            problem.data,
            seeds.child("networks"),
        )
        return CoDesign(
            networks,
            self._side(problem.networks.layers, with_agent=search.joint),
            objective=settings.objective.minimize,
            weight=settings.objective.weight if search.weighted else 0.0,
            settings=settings.agent,
            response=RESPONSES[search.response](),
        )

    def _side(self, layers: tuple[Layer, ...], *, with_agent: bool) -> HardwareSide:
        problem, agent = self.problem, self.problem.settings.agent
        archive = Archive(problem.space, problem.model, layers, problem.settings.objective.minimize)
        proposer = None
        if with_agent:
            seeds = problem.seeds.child("agent")
            proposer = make_agent(agent.name, problem.designs, seeds, **agent.options)
        return HardwareSide(proposer, archive, problem.context, layers)

    # Training from scratch ----------------------------------------------------------------------------

    def _trained(self, architecture: Architecture) -> State:
        return self.stages.run(train_name(architecture), partial(self._train, architecture))

    def network(self, architecture: Architecture) -> Network:
        """A derived network with its trained weights."""
        network = Network(self.problem.workload(architecture), self.problem.seeds.child("train"))
        network.load_state_dict(self._trained(architecture)["weights"])
        return network.to(self.problem.device)

    def _train(self, architecture: Architecture, resume: State | None) -> Stage:
        problem = self.problem
        seeds = problem.seeds.child("train")
        network = Network(problem.workload(architecture), seeds).to(problem.device)
        training = Training(network, problem.settings.train, problem.data, seeds, problem.arithmetic)
        if resume is not None:
            training.restore(resume)
        name = train_name(architecture)
        self.progress.stage(f"train {name[6:]}", training.steps)
        while not training.finished:
            losses = [training.step() for _ in range(training.batches.per_epoch)]
            loss = torch.stack(losses).mean().item()
            record = {"stage": name, "step": training.position, "steps": training.steps}
            self.stages.record({**record, "loss": loss})
            self.progress.update(training.position, f"loss {loss:.2f}")
            yield training.state
        weights = halved(training.trained)
        training.trained.load_state_dict(weights)
        return {
            "weights": weights,
            "accuracy": evaluate(training.trained, problem.data, problem.data.validation),
            "device": problem.device_name,
        }

    # Choosing networks and their hardware ---------------------------------------------------------------

    def _chosen(self, scheme: Scheme) -> Chosen:
        architecture = self._choice(scheme.network)
        searches = (scheme.network, AWARE) if _is_held(scheme.network) else (scheme.network,)
        spent = [_search_name(search) for search in searches]
        spent += {train_name(each): None for search in searches for each in self._finalists(search)}
        design, evaluations = self.problem.baseline, 1
        if scheme.hardware != "baseline":
            name = f"hardware/{scheme.key}"
            tuned = self.stages.run(name, partial(self._tune, scheme, architecture))
            design, evaluations = tuned["design"], tuned["evaluations"]
            spent.append(name)
        return Chosen(
            scheme=scheme,
            architecture=architecture,
            design=design,
            accuracy_validation=self._trained(architecture)["accuracy"],
            evaluations=evaluations,
            seconds=sum(self.stages.seconds[stage] for stage in spent),
            trained_on=self._trained(architecture)["device"],
            optimum=self._optimum(scheme, architecture),
        )

    def _choice(self, search: NetworkSearch) -> Architecture:
        """The network a search ends with.

        The baseline's validation accuracy is what ``choose`` holds. Its network is trained for that, so that
        it is a choice as well, on the accelerators that the search has seen.
        """
        if not search.weighted:
            return max(self._finalists(search), key=lambda a: float(self._trained(a)["accuracy"]))
        networks, reference = dict.fromkeys(self._finalists(search)), None
        if _is_held(search):
            held = self._choice(AWARE)
            networks[held], reference = None, float(self._trained(held)["accuracy"])
        finalists = [
            Finalist(
                architecture=architecture,
                accuracy=self._trained(architecture)["accuracy"],
                cost=self._least_cost(search, architecture),
            )
            for architecture in networks
        ]
        return choose(finalists, reference, self.problem.settings.objective.tolerance).architecture

    def _least_cost(self, search: NetworkSearch, architecture: Architecture) -> float:
        """Log objective of a network on the best of the designs its search has visited."""
        objective = self.problem.settings.objective.minimize
        workload = self.problem.workload(architecture)
        batch = self.problem.space.decode(self._searched(search)["archive"]["designs"])
        totals = self.problem.model.evaluate(batch, workload.layers).totals(objective)
        return float(objective.score(totals.cycles, totals.energy_pj).min())

    def _tune(self, scheme: Scheme, architecture: Architecture, resume: State | None) -> Stage:
        """Spend the evaluations, or what the joint search left of them, on one network."""
        layers, weights = distinct_layers(self.problem.workload(architecture).layers)
        budget = self.problem.settings.agent.evaluations
        side = self._side(layers, with_agent=True)
        if scheme.hardware == "joint":
            side.archive.restore(self._searched(scheme.network)["archive"])
            side.refine(weights, self.problem.seeds.child("refine"))
        if resume is not None:
            side.restore(resume)
        self.progress.stage(f"{scheme.name}: hardware search", budget)
        while len(side.turn(weights, self.problem.settings.agent.batch, budget)):
            best = int(side.best(weights)[0])
            self.stages.record(
                {
                    "scheme": scheme.key,
                    "stage": "hardware",
                    "evaluations": side.evaluations,
                    "design": side.archive.row(best),
                    "best": float(side.scores(weights)[best]),
                }
            )
            self.progress.update(side.evaluations, f"cost x{np.exp(side.scores(weights)[best]):.2f}")
            yield side.state
        designs = side.archive.designs[side.best(weights, RETIMED)]
        timed = retimed(self.problem, self.problem.workload(architecture), designs)
        for candidate in timed:
            cycles = {"cycles": candidate.cycles, "cycles_simulated": candidate.cycles_simulated}
            row = {"design": self.problem.row(candidate.design), **cycles, "score": candidate.score}
            self.stages.record({"scheme": scheme.key, "stage": "retime", **row})
        return {"design": timed[0].design, "evaluations": side.evaluations}

    def _optimum(self, scheme: Scheme, architecture: Architecture) -> float | None:
        """Least log objective of the network over all feasible designs; None where it is not asked for."""
        if not self.problem.settings.run.optimum or scheme.hardware == "baseline":
            return None
        name = f"optimum/{'-'.join(map(str, architecture))}"
        return float(self.stages.run(name, lambda _: self._sweep(architecture))["score"])

    def _sweep(self, architecture: Architecture) -> Stage:
        layers, weights = distinct_layers(self.problem.workload(architecture).layers)
        self.progress.stage("exact optimum", 1)
        yield dict
        return {"score": float(self.problem.feasible_scores(layers, weights).min())}

    # Proofs ---------------------------------------------------------------------------------------------

    def _certified(self, chosen: list[Chosen]) -> State | None:
        """What is proved about the choice; None where the effort asked for proves nothing."""
        certifier = Certifier(self.problem, self.problem.settings.run.effort)
        if not certifier.able:
            return None
        return self.stages.run("certify", lambda _: self._certify(certifier, chosen))

    def _certify(self, certifier: Certifier, chosen: list[Chosen]) -> Stage:
        settings = self.problem.settings
        self.progress.stage("certified gap", 1)
        yield dict
        searches = {scheme.key: scheme.network for scheme in self.schemes}
        baseline = self._trained(self._choice(searches["baseline"]))
        held = baseline["accuracy"] - settings.objective.tolerance
        networks = {network: None for search in self.searches for network in self._finalists(search)}
        holding = [n for n in networks if self._trained(n)["accuracy"] >= held - ROUNDING]
        joint = self._searched(searches["found"])
        candidates = [
            Measured(architecture=tuple(options), error=error)
            for options, error in zip(joint["candidates"], joint["errors"], strict=True)
        ]
        return certificate(certifier, chosen, holding, candidates, settings.objective.weight)

    # Integers -------------------------------------------------------------------------------------------

    def _quantized(self, architecture: Architecture) -> bytes:
        """The file of a network as integers."""
        return content_of(self.carry_out(quantize_name(architecture)))

    def _quantize(self, architecture: Architecture, _: State | None) -> Stage:
        problem = self.problem
        network = self.network(architecture)
        self.progress.stage("quantize", 1)
        yield dict
        seeds, recipe = problem.seeds.child("train"), problem.settings.quantize
        integers = integer_network(network, problem.data, recipe, seeds)
        return as_state(integers.packed())

    def _integer_path(self, key: str) -> Path:
        return self.stages.directory / key / NETWORK_FILE

    def _simulated(self, chosen: Chosen) -> int | None:
        """Cycles of the program that a build of the scheme holds."""
        key = chosen.scheme.key

        def simulate(_: State | None) -> Stage:
            yield dict
            integers = QuantizedNetwork.load(self._integer_path(key))
            return {"cycles": self.problem.simulated_cycles(chosen.design, integers)}

        cycles = self.stages.run(f"simulate/{key}", simulate)["cycles"]
        return None if cycles is None else int(cycles)

    # The test set, once ---------------------------------------------------------------------------------

    def _test(self, chosen: list[Chosen]) -> Stage:
        data = self.problem.data
        test = data.read_test().to(self.problem.device)
        keys = {c.architecture: c.scheme.key for c in chosen}
        self.progress.stage("test", len(keys))
        found: dict[Architecture, tuple[float, float]] = {}
        for architecture, key in keys.items():
            integers = QuantizedNetwork.load(self._integer_path(key))
            right = evaluate(self.network(architecture), data, test), integer_accuracy(integers, test)
            found[architecture] = right
            self.progress.update(len(found), f"{right[0]:.2%}, int8 {right[1]:.2%}")
            yield dict
        return {
            "accuracy": {c.scheme.key: found[c.architecture][0] for c in chosen},
            "accuracy_int8": {c.scheme.key: found[c.architecture][1] for c in chosen},
        }


def distinct_layers(layers: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], FloatArray]:
    """Distinct shapes in order of appearance, and how often each occurs, float64 (L,)."""
    first: dict[tuple[int, ...], Layer] = {}
    count: dict[tuple[int, ...], int] = {}
    for layer in layers:
        first.setdefault(layer.shape, layer)
        count[layer.shape] = count.get(layer.shape, 0) + 1
    return tuple(first.values()), np.array(list(count.values()), dtype=np.float64)


def _is_held(search: NetworkSearch) -> bool:
    """Whether a search's networks are held to the accuracy of the baseline's."""
    return search.weighted and search is not AWARE


def _search_name(search: NetworkSearch) -> str:
    return f"search/{search.name}"
