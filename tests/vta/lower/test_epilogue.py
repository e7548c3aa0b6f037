"""The epilogue's operations against the golden clip, number by number."""

from __future__ import annotations

import numpy as np
import pytest

from rhnas.quantized import QuantizedLayer
from rhnas.vta.lower.epilogue import Requantization
from rhnas.vta.simulate.execute import operate
from rhnas.workload import Layer, LayerKind

LIMITS = (-(1 << 31), (1 << 31) - 1)


def apply(requantization: Requantization, values: np.ndarray) -> np.ndarray:
    """What the ALU leaves, as the simulator operates it."""
    for operation, immediate in requantization.operations():
        values = np.array([operate.py_func(int(operation), int(x), immediate) for x in values], np.int64)
    return values


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shift", [0, 1, 2, 7, 8, 9, 15, 20])
def test_operations_shift_and_clip(shift, relu):
    clip = (0 if relu else -128), 127
    near = np.arange(-2, 3)
    ends = [((limit + more) << shift) for limit in clip for more in (-1, 0, 1)]
    values = np.unique(np.concatenate([near + end for end in (*ends, 0)] + [np.array(LIMITS)]))
    values = values[(values >= LIMITS[0]) & (values <= LIMITS[1])]
    one = np.array([shift], np.int32)
    done = apply(Requantization((one,), one, clip, LIMITS), values)
    np.testing.assert_array_equal(done, np.clip(values >> shift, *clip))


@pytest.mark.parametrize("left", [(0, 0), (1, 0), (0, 3)])
@pytest.mark.parametrize("shift", [0, 1, 2, 4])
@pytest.mark.parametrize("relu", [False, True])
def test_additions_leave_out_only_clips_that_nothing_reaches(left, shift, relu):
    layer = Layer(name="sum", kind=LayerKind.ADD, channels=(8, 8), relu=relu)
    quantized = QuantizedLayer(layer=layer, fraction_bits=0, shift=np.array([shift], np.int32), left=left)
    first, second = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))
    sums = np.unique((first << left[0]) + (second << left[1])) + int(quantized.half[0])
    requantization = Requantization.of(quantized)
    done = apply(requantization, sums)
    np.testing.assert_array_equal(done, np.clip(sums >> shift, *quantized.clip))
    if (left, shift, relu) == ((0, 0), 1, False):
        assert len(requantization.operations()) == 1
