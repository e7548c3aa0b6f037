"""Integer networks: what a trained network is to the accelerator, as NumPy arrays and nothing else.

A number q of a tensor with f fraction bits stands for q / 2**f. Every layer computes in int32, adds half a
unit of its result, shifts right, clips to int8:

    convolution, dense   (sum(weight * input) + bias + half) >> shift
    addition             ((first << left[0]) + (second << left[1]) + half) >> shift
    average pooling      (multiplier * sum(input) + half) >> shift
    maximum pooling      max(input), padding counts as -128

with half = 2**(shift - 1), or 0 where shift is 0; then clipped to -128..127, or to 0..127 with a ReLU.
``rhnas.quantize.golden`` carries it out.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rhnas.errors import DataError, UnsupportedNetworkError
from rhnas.files import write_atomically
from rhnas.workload import IntArray, Layer, LayerKind, Workload

NETWORK_FILE = "network.npz"
"""Where a run keeps the integer network of a scheme, in the scheme's folder."""

Int8Array = npt.NDArray[np.int8]
Int32Array = npt.NDArray[np.int32]

INT8_MIN, INT8_MAX = -128, 127
MAX_SHIFT = 31
"""The right shift takes five bits of an int32 accumulator's lane."""
MAX_LEFT_SHIFT = 6
"""An addition can then be a product with an identity times 2**6, which is still int8."""
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class QuantizedLayer:
    """One layer in integers.

    Attributes:
        layer: Its shapes.
        fraction_bits: Of its output.
        shift: Right shift, int32 (1,), or (C_out,) with one per channel.
        weight: int8 (C_out, C_in / groups, kernel height, kernel width) or, dense, (C_out, C_in).
        bias: int32 (C_out,), in units of the accumulator.
        left: Left shifts of the two operands of an addition.
        multiplier: Of an average pooling: ``multiplier / 2**shift`` is 1 / pixels, rescaled.

    Raises:
        UnsupportedNetworkError: Arrays or numbers that do not fit the layer, or an accumulator that
            could overflow.
    """

    layer: Layer
    fraction_bits: int
    shift: Int32Array
    weight: Int8Array | None = None
    bias: Int32Array | None = None
    left: tuple[int, int] = (0, 0)
    multiplier: int = 1

    def __post_init__(self) -> None:
        outputs = self.layer.channels[1]
        self._require(
            self.shift.shape in ((1,), (outputs,)), "one shift, or one per channel", self.shift.shape
        )
        shifts = int(self.shift.min()), int(self.shift.max())
        self._require(shifts[0] >= 0 and shifts[1] <= MAX_SHIFT, f"shifts from 0 to {MAX_SHIFT}", shifts)
        small = min(self.left) >= 0 and max(self.left) <= MAX_LEFT_SHIFT
        self._require(small, f"left shifts from 0 to {MAX_LEFT_SHIFT}", self.left)
        self._require(1 <= self.multiplier <= INT8_MAX, "a multiplier from 1 to 127", self.multiplier)
        if self.weighted:
            expected = weight_shape(self.layer)
            got = "no weight" if self.weight is None else self.weight.shape
            self._require(got == expected, f"a weight of shape {expected}", got)
            got = "no bias" if self.bias is None else self.bias.shape
            self._require(got == (outputs,), f"a bias of shape {(outputs,)}", got)
        limit = np.iinfo(np.int32).max
        self._require(self.accumulator_bound <= limit, f"accumulators up to {limit}", self.accumulator_bound)

    def _require(self, holds: bool, what: str, got: object) -> None:
        if not holds:
            raise UnsupportedNetworkError(f"quantized layer {self.layer.name!r} must have {what}", got=got)

    @property
    def weighted(self) -> bool:
        """Whether the layer has weights."""
        return self.layer.kind in (LayerKind.CONV, LayerKind.DENSE)

    @property
    def half(self) -> Int32Array:
        """Half a unit of the result, in units of the accumulator, like ``shift``."""
        return np.where(self.shift > 0, 1 << np.maximum(self.shift - 1, 0), 0).astype(np.int32)

    @property
    def offset(self) -> Int32Array:
        """Bias and rounding in one: what the accumulators start from, int32 (C_out,)."""
        bias = np.zeros(self.layer.channels[1], np.int32) if self.bias is None else self.bias
        return (bias + self.half).astype(np.int32)

    @property
    def accumulator_bound(self) -> int:
        """No sum, partial or whole, is larger in magnitude."""
        half = int(self.half.max())
        if self.weight is not None and self.bias is not None:
            sums = np.abs(self.weight.astype(np.int64)).reshape(len(self.weight), -1).sum(1)  # (C_out,)
            return int((sums * -INT8_MIN + np.abs(self.bias.astype(np.int64))).max()) + half
        if self.layer.kind is LayerKind.ADD:
            return -INT8_MIN * sum(1 << left for left in self.left) + half
        if self.layer.kind is LayerKind.AVG_POOL:
            return -INT8_MIN * self.multiplier * self.layer.kernel[0] * self.layer.kernel[1] + half
        return -INT8_MIN

    @property
    def clip(self) -> tuple[int, int]:
        """Smallest and largest result."""
        return (0 if self.layer.relu else INT8_MIN), INT8_MAX


def weight_shape(layer: Layer) -> tuple[int, ...]:
    """Shape of a convolution's or dense layer's weight.

    Example:
        >>> weight_shape(Layer(name="c", channels=(8, 16), groups=2, kernel=(3, 3), size=(4, 4)))
        (16, 4, 3, 3)
    """
    if layer.kind is LayerKind.DENSE:
        return layer.channels[::-1]
    return layer.channels[1], layer.channels[0] // layer.groups, *layer.kernel


@dataclass(frozen=True, kw_only=True)
class QuantizedNetwork:
    """A network in integers, from pixels to class scores.

    Attributes:
        name: Of the network.
        layers: In execution order, wired by ``Layer.inputs``.
        picture_bits: Fraction bits of the int8 picture.
        pixels: What becomes of a pixel: int8 (channels, 256), normalisation included.

    Raises:
        UnsupportedNetworkError: The layers do not chain or lack inputs.
    """

    name: str
    layers: tuple[QuantizedLayer, ...]
    picture_bits: int
    pixels: Int8Array

    def __post_init__(self) -> None:
        for layer in self.workload:
            wanted = 2 if layer.kind is LayerKind.ADD else 1
            if len(layer.inputs) != wanted:
                raise UnsupportedNetworkError(
                    f"quantized layer {layer.name!r} must have {wanted} inputs", got=layer.inputs
                )

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[QuantizedLayer]:
        return iter(self.layers)

    @property
    def workload(self) -> Workload:
        """The shapes alone."""
        return Workload(name=self.name, layers=tuple(layer.layer for layer in self.layers))

    def read_pixels(self, pictures: npt.NDArray[np.uint8]) -> Int8Array:
        """Pictures as the accelerator reads them: uint8 to int8, both (N, C, H, W)."""
        channels = np.arange(len(self.pixels))[:, None, None]
        return self.pixels[channels, pictures]

    def save(self, path: Path) -> None:
        """Write ``path`` (.npz) in one step."""
        write_atomically(path, self.packed())

    def packed(self) -> bytes:
        """What ``save`` writes; equal networks give equal bytes."""
        meta: dict[str, Any] = {"schema": SCHEMA, "name": self.name, "picture_bits": self.picture_bits}
        meta["layers"] = [_layer_to_json(layer) for layer in self.layers]
        arrays: dict[str, IntArray | Int32Array | Int8Array | npt.NDArray[np.uint8]] = {
            "meta": np.frombuffer(json.dumps(meta).encode(), np.uint8),
            "pixels": self.pixels,
        }
        for index, layer in enumerate(self.layers):
            arrays[f"{index}.shift"] = layer.shift
            if layer.weight is not None and layer.bias is not None:
                arrays[f"{index}.weight"], arrays[f"{index}.bias"] = layer.weight, layer.bias
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path) -> QuantizedNetwork:
        """Read what ``save`` wrote; nothing in the file is executed.

        Raises:
            DataError: The file is absent, truncated or not a quantized network.
        """
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                meta = json.loads(arrays["meta"].tobytes())
                if meta["schema"] != SCHEMA:
                    raise DataError(f"{path} must have schema {SCHEMA}", got=meta["schema"])
                layers = tuple(
                    _layer_from_json(entry, arrays, index) for index, entry in enumerate(meta["layers"])
                )
                return cls(
                    name=meta["name"],
                    layers=layers,
                    picture_bits=meta["picture_bits"],
                    pixels=arrays["pixels"].astype(np.int8, casting="safe"),
                )
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            if isinstance(error, (DataError, UnsupportedNetworkError)):
                raise
            raise DataError(
                f"{path} must hold a quantized network", got=error, fix="run rhnas search again"
            ) from error


def _layer_to_json(quantized: QuantizedLayer) -> dict[str, Any]:
    numbers = {"left": quantized.left, "multiplier": quantized.multiplier}
    return {"layer": asdict(quantized.layer), "fraction_bits": quantized.fraction_bits, **numbers}


def _layer_from_json(entry: dict[str, Any], arrays: Any, index: int) -> QuantizedLayer:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry["layer"].items()
    }
    fields["kind"] = LayerKind(fields["kind"])
    weighted = f"{index}.weight" in arrays
    return QuantizedLayer(
        layer=Layer(**fields),
        fraction_bits=entry["fraction_bits"],
        shift=arrays[f"{index}.shift"].astype(np.int32, casting="safe"),
        weight=arrays[f"{index}.weight"].astype(np.int8, casting="safe") if weighted else None,
        bias=arrays[f"{index}.bias"].astype(np.int32, casting="safe") if weighted else None,
        left=(entry["left"][0], entry["left"][1]),
        multiplier=entry["multiplier"],
    )
