"""Checkpoints: what goes in comes out, and damage is told from data."""

import numpy as np
import pytest
import torch

from rhnas.checkpoint import pack, unpack
from rhnas.errors import CheckpointError


def test_everything_a_search_holds_comes_back() -> None:
    generator = np.random.default_rng(3)
    generator.integers(5, size=7)
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    state = {
        "rng": generator.bit_generator.state,
        "weights": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "arrays": [np.eye(2), np.array([1, 2], dtype=np.int64), np.float64(0.5)],
        "plain": (None, True, "text", 2**70, {1: "integer keys"}),
    }
    found = unpack(pack(state))
    again = np.random.default_rng(0)
    again.bit_generator.state = found["rng"]
    assert (again.integers(1000, size=9) == generator.integers(1000, size=9)).all()
    assert found["plain"] == state["plain"]
    assert all(
        torch.equal(a, b) for a, b in zip(found["weights"].values(), state["weights"].values(), strict=True)
    )
    torch.optim.Adam(network.parameters()).load_state_dict(found["optimizer"])
    assert (found["arrays"][0] == np.eye(2)).all()
    assert found["arrays"][1].dtype == np.int64
    assert found["arrays"][2] == 0.5


@pytest.mark.parametrize("keep", [0, 1, 20, 0.5, 0.99])
def test_a_truncated_checkpoint_is_an_error(keep: float) -> None:
    content = pack({"weights": torch.randn(100), "name": "x"})
    cut = content[: int(keep * len(content)) if 0 < keep < 1 else int(keep)]
    with pytest.raises(CheckpointError):
        unpack(cut)


def test_a_flipped_bit_is_an_error() -> None:
    content = bytearray(pack({"weights": torch.arange(1000)}))
    for position in range(64, len(content), 97):
        damaged = content.copy()
        damaged[position] ^= 0x10
        if damaged == content:
            continue
        try:
            found = unpack(bytes(damaged))
        except CheckpointError:
            continue
        assert torch.equal(found["weights"], torch.arange(1000)), "damage must not pass as data"


def test_code_in_a_checkpoint_is_never_run(tmp_path) -> None:
    import io

    class Bomb:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'boom')!r}, 'w')",))

    stream = io.BytesIO()
    torch.save({"format": 1, "state": Bomb()}, stream)
    with pytest.raises(CheckpointError):
        unpack(stream.getvalue())
    assert not (tmp_path / "boom").exists()


def test_another_format_is_refused() -> None:
    import io

    stream = io.BytesIO()
    torch.save({"format": 99, "state": {}}, stream)
    with pytest.raises(CheckpointError, match="format 1; got 99"):
        unpack(stream.getvalue())
