"""``rhnas pretrain``: an agent that has learnt a space and answers for networks and chips it never saw."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rhnas.cli.optimize import bar
from rhnas.cli.output import Json, PlatformName, emit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console


def pretrain(
    *,
    out: Annotated[Path, typer.Option(help="The policy file; its checkpoint lies beside it until the end.")],
    space: Annotated[str | None, typer.Option(help="vta-intel (usual), vta, systolic.")] = None,
    networks: Annotated[
        str, typer.Option(help="Taught beside random ones: zoo names or FILE.onnx, comma-separated.")
    ] = "resnet34,resnet20",
    platform: PlatformName = "vta",
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Rounds of new problems; the usual number if not given.")
    ] = None,
    start: Annotated[
        Path | None, typer.Option(help="A policy file to go on from; give another --seed for new problems.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue what is there, or start if nothing is.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Teach an agent a whole space: networks, objectives and chip budgets drawn at random, at known optima.

    Example: rhnas pretrain --space vta-intel --networks resnet34,resnet20 --out vta-intel.policy

    Example: rhnas optimize --network mobilenet_v2 --pretrained vta-intel.policy --budget 20
    """
    from rhnas.agents.lessons import Teacher
    from rhnas.agents.policy_file import load_policy
    from rhnas.agents.pretraining import Pretraining, PretrainSettings
    from rhnas.agents.pretraining import pretrain as run
    from rhnas.networks.zoo import load_network
    from rhnas.platform import load_platform
    from rhnas.seeds import Seeds

    family = load_platform(platform)
    chosen = family.space(space or family.spaces[0])
    names = [name.strip() for name in networks.split(",") if name.strip()]
    settings = PretrainSettings() if rounds is None else PretrainSettings(rounds=rounds)
    seeds = Seeds(root=seed).child("pretrain")
    taught = [load_network(name) for name in names]
    teacher = Teacher(family, chosen, taught, settings.lessons, seeds.child("teacher"))
    known = None if start is None else load_policy(start, chosen)
    training = Pretraining(chosen, teacher, settings, seeds, known)
    described = {"platform": platform, "space": chosen.name, "networks": names, "seed": seed}
    if start is not None:
        described["start"] = hashlib.sha256(start.read_bytes()).hexdigest()
    with bar("rounds") as reported:
        trained = run(
            training,
            out,
            {**described, "settings": asdict(settings)},
            resume=resume,
            report=lambda progress: reported(progress.done, settings.rounds),
        )
    result = {**described, "out": str(out), **summary(trained), "provenance": trained["provenance"]}
    emit(result, json_output, lambda console: _print(console, result))


def summary(trained: Mapping[str, Any]) -> dict[str, Any]:
    """What a training came to: its rounds, problems and seconds, and the gap of first answers at the end."""
    rounds = trained["rounds"]
    return {
        "rounds": len(rounds),
        "problems": sum(one["problems"] for one in rounds),
        "gap": rounds[-1]["gap"],
        "loss": rounds[-1]["loss"],
        "seconds": sum(one["seconds"] for one in rounds),
    }


def _print(console: Console, result: Mapping[str, Any]) -> None:
    console.print(
        f"{result['out']}: learnt {result['space']} from {result['problems']:,} problems "
        f"in {result['rounds']} rounds, {result['seconds']:.0f} s",
        soft_wrap=True,
    )
    console.print(
        f"on the last round's problems, before it learnt them, its first answer was {result['gap']:.2%} "
        "above the best design known (median)",
        soft_wrap=True,
    )
    console.print(
        f"use it: rhnas optimize --network NAME --space {result['space']} --pretrained {result['out']}",
        style="dim",
        soft_wrap=True,
    )
