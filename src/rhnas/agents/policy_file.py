"""Trained policies as files: weights and the space they belong to, read without running any code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rhnas.agents.features import feature_count
from rhnas.agents.policy import Ensemble, FactoredPolicy
from rhnas.checkpoint import pack, unpack
from rhnas.errors import CheckpointError, SettingsError
from rhnas.files import write_atomically
from rhnas.space import Space

SHIPPED = Path(__file__).parent / "policies"
"""What comes with the package."""

KIND = "rhnas.policy"
"""What the file says it is."""


def save_policy(path: Path, policy: Ensemble, space: Space, trained_on: Mapping[str, Any]) -> None:
    """Write a policy for the designs of a space.

    Args:
        path: Replaced in one step.
        policy: Over the space's choices.
        space: The design space.
        trained_on: What it has learnt from, as plain values; read back by ``read_policy``.
    """
    content = {
        "kind": KIND,
        "choices": choices_of(space),
        "features": feature_count(space),
        "members": [member.state_dict() for member in policy.networks],
        "trained_on": dict(trained_on),
    }
    write_atomically(path, pack(content))


def read_policy(path: Path) -> dict[str, Any]:
    """What a policy file holds, as ``save_policy`` wrote it.

    Raises:
        CheckpointError: The file is absent, damaged, or no policy.
    """
    fix = "make one with rhnas pretrain --out FILE"
    try:
        content = unpack(path.read_bytes())
    except OSError as error:
        raise CheckpointError(
            f"the policy file {path} must be readable", got=error.strerror or error, fix=fix
        ) from error
    except CheckpointError as error:
        raise CheckpointError(f"{path} must be an undamaged policy file", got=error.got, fix=fix) from error
    if content.get("kind") != KIND or not content.get("members"):
        raise CheckpointError(f"{path} must hold a policy's networks", got=sorted(content), fix=fix)
    return content


def load_policy(path: Path, space: Space) -> Ensemble:
    """The policy in a file.

    Args:
        path: As ``save_policy`` or ``rhnas pretrain`` wrote it.
        space: The space it is asked about.

    Raises:
        CheckpointError: The file is absent, damaged, no policy, or one for other choices or features.
    """
    content = read_policy(path)
    wanted = {"choices": choices_of(space), "features": feature_count(space)}
    for name, value in wanted.items():
        if content.get(name) != value:
            raise CheckpointError(
                f"{path} must be made for the {name} of space {space.name!r}",
                got=content.get(name),
                fix=f"make one with rhnas pretrain --space {space.name} --out FILE",
            )
    members = []
    for weights in content["members"]:
        hidden = len(weights["second.bias"])
        members.append(FactoredPolicy(space.shape, feature_count(space), hidden, torch.Generator()))
        members[-1].load_state_dict(weights)
    return Ensemble(members)


def shipped(space_name: str) -> Path:
    """The policy file that comes with the package for a space, trained by ``rhnas pretrain``.

    Raises:
        SettingsError: None comes for it.

    Example:
        >>> shipped("vta").name
        'vta.policy'
    """
    path = SHIPPED / f"{space_name}.policy"
    if not path.is_file():
        come = ", ".join(sorted(other.stem for other in SHIPPED.glob("*.policy")))
        raise SettingsError(
            f"the agent 'pretrained' must be given a policy file in the space {space_name!r}",
            got=f"none; policies come with the package for {come}",
            fix="make one with rhnas pretrain --out FILE, then use --pretrained FILE",
        )
    return path


def choices_of(space: Space) -> list[list[Any]]:
    """Names and values of a space's choices, as a file holds them."""
    return [[choice.name, *choice.values] for choice in space.choices]
