"""What a search has proved about its answer, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def claims(result: Mapping[str, Any]) -> list[str]:
    """One sentence per proof in ``result.json``, from the narrowest to the widest; none without proofs.

    Example:
        >>> proof = {"proved": False, "gap": 0.25, "objective": 1.0, "bound": 0.8}
        >>> proofs = {"hardware": {"found": {**proof, "proved": True}}, "trained": None, "candidates": None,
        ...           "as_large": proof}
        >>> for claim in claims({"feasible_designs": 1830, "certificate": proofs}):
        ...     print(claim)
        For its network none of 1,830 accelerators costs less.
        No network of the space with at least as many MACs costs less than 1/1.250 of it on any of them.
    """
    proofs = result.get("certificate")
    if not isinstance(proofs, Mapping):
        return []
    told = [
        f"For its network none of {result['feasible_designs']:,} accelerators costs "
        f"{_less(proofs['hardware']['found'])}."
    ]
    if proofs["trained"] is not None:
        told.append(
            f"Of the {proofs['trained']['networks']} trained networks that hold the accuracy none costs "
            f"{_less(proofs['trained'])} on any of them."
        )
    if proofs["candidates"] is not None:
        some, every = proofs["candidates"], proofs["space"]
        told.append(
            f"The search's objective, validation error + lambda log cost, is {some['objective']:.4f}; it is "
            f"at least {some['bound']:.4f} for each of the {some['networks']} candidates whose error the "
            f"search knew, and {every['bound']:.4f} for every network of the space."
        )
    told.append(
        "No network of the space with at least as many MACs costs "
        f"{_less(proofs['as_large'])} on any of them."
    )
    return told


def _less(proof: Mapping[str, Any]) -> str:
    """How much cheaper something else might be."""
    return "less" if proof["proved"] else f"less than 1/{1 + proof['gap']:.3f} of it"
