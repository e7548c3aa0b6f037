"""In what numbers networks are trained: bfloat16 where the device multiplies it faster, else float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from rhnas.errors import RhnasError, SettingsError


@dataclass(frozen=True)
class Arithmetic:
    """A device and the type its convolutions and products are computed in; all else stays float32.

    Example:
        >>> arithmetic = Arithmetic("cpu", torch.bfloat16)
        >>> with arithmetic.region():
        ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        torch.bfloat16
    """

    device: str = "cpu"
    dtype: torch.dtype = torch.float32

    @classmethod
    def of(cls, precision: str, device: torch.device) -> Arithmetic:
        """The arithmetic of a run.

        Args:
            precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the device has instructions
                for it (a GPU from Ampere on, a CPU with AVX-512 BF16 or AMX), float32 elsewhere.
            device: Where networks are trained.

        Raises:
            SettingsError: There is no such precision.
        """
        types = {"float32": torch.float32, "bfloat16": torch.bfloat16}
        if precision == "auto":
            precision = "bfloat16" if has_bfloat16(device) else "float32"
        if precision not in types:
            raise SettingsError(f"run.precision must be auto or one of {', '.join(types)}", got=precision)
        return cls(device.type, types[precision])

    def region(self) -> torch.autocast:
        """A context in which torch computes so."""
        return torch.autocast(self.device, self.dtype, enabled=self.dtype is not torch.float32)


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


LOST = ("CUDA error", "cuDNN error", "cuBLAS", "CUBLAS")
"""What torch says, as a plain ``RuntimeError``, when a GPU fails or is taken away."""


@contextmanager
def device_failures() -> Iterator[None]:
    """Failures of a device said as errors with a way on, instead of torch's.

    Raises:
        RhnasError: A GPU was lost, or its memory does not suffice for a few pictures.

    Example:
        >>> with device_failures():
        ...     raise RuntimeError("CUDA error: device-side assert triggered")
        Traceback (most recent call last):
            ...
        rhnas.errors.RhnasError: the GPU must stay to the end of a run; ...
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RhnasError(
            "a few pictures must fit in the GPU's memory",
            got=str(error).splitlines()[0],
            fix="go on with --resume and --workers 1, or on a larger GPU",
        ) from error
    except RuntimeError as error:
        if isinstance(error, RhnasError) or not any(sign in str(error) for sign in LOST):
            raise
        raise RhnasError(
            "the GPU must stay to the end of a run",
            got=str(error).splitlines()[0],
            fix="nothing before the last checkpoint is lost: go on with --resume, "
            "with run.device=auto on a machine without a GPU too",
        ) from error


def make_repeatable() -> None:
    """Let a GPU choose the same kernels in every run of the same machine."""
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
