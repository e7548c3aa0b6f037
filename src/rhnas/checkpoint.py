"""Checkpoints as bytes: plain values, NumPy arrays and tensors, read back without running any code."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import torch

from rhnas.errors import CheckpointError

FORMAT = 1
"""Raised when an older program's checkpoints can no longer be continued."""

ARRAY = "rhnas.array"
"""Key that marks a NumPy array on its way through ``torch.save``, which reads tensors only."""


def pack(state: dict[str, Any]) -> bytes:
    """A tree of dictionaries, lists, tuples, numbers, texts, NumPy arrays and tensors as bytes.

    Example:
        >>> unpack(pack({"a": np.arange(3), "b": [1, "x", None]}))["a"]
        array([0, 1, 2])
    """
    stream = io.BytesIO()
    torch.save({"format": FORMAT, "state": _encode(state)}, stream)
    return stream.getvalue()


def unpack(content: bytes) -> dict[str, Any]:
    """The tree that ``pack`` was given.

    Raises:
        CheckpointError: The bytes are damaged, hold objects, or come from another format.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            damaged = members.testzip()  # torch itself never compares the checksums it writes
        whole = None if damaged else torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as error:
        # Which exception damage raises depends on the byte it hits; none of them is the program's fault.
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CheckpointError("a checkpoint must be readable", got=reason) from error
    if damaged:
        raise CheckpointError("a checkpoint must match its checksums", got=f"{damaged} differs")
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        got = whole.get("format") if isinstance(whole, dict) else type(whole).__name__
        raise CheckpointError(f"a checkpoint must have format {FORMAT}", got=got)
    state: dict[str, Any] = _decode(whole["state"])
    return state


def _encode(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_encode(item) for item in value])
    if isinstance(value, np.ndarray):
        return {ARRAY: torch.from_numpy(value.copy())}
    if isinstance(value, np.generic):
        return value.item()
    return value


def _decode(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {ARRAY}:
            return value[ARRAY].numpy()
        return {key: _decode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_decode(item) for item in value])
    return value
