"""From a trained network to the integer network that the accelerator runs."""

from __future__ import annotations

import copy

import torch

from rhnas.nas.batches import Batches
from rhnas.nas.data.dataset import DataSet, Part
from rhnas.nas.network import Network
from rhnas.quantize.calibrate import FloatLayer, Scales, calibrate, pixel_table, quantize
from rhnas.quantize.device import accuracy_on_device
from rhnas.quantize.qat import IntegerAwareNetwork, finetune
from rhnas.quantized import QuantizedNetwork
from rhnas.seeds import Seeds
from rhnas.settings import QuantizeSettings


def integer_network(
    network: Network, data: DataSet, recipe: QuantizeSettings, seeds: Seeds
) -> QuantizedNetwork:
    """The better of the calibrated and the fine-tuned network on the validation part.

    Args:
        network: Trained; stays as it is.
        data: Its training part calibrates and fine-tunes, its validation part chooses.
        recipe: How.
        seeds: Its child ``quantize`` gives calibration pictures, orders and augmentation.
    """
    seeds = seeds.child("quantize")
    layers = copy.deepcopy(network).cpu().folded()
    chosen = torch.randperm(
        len(data.train), generator=torch.Generator().manual_seed(seeds.child("calibration").integer())
    )
    pictures = data.normalise(data.train.pictures[chosen[: recipe.calibration]].cpu()).numpy()
    scales = calibrate(layers, pictures, per_channel=recipe.per_channel)
    best = _integer(network.workload.name, layers, scales, data)
    if recipe.epochs == 0:
        return best
    aware = IntegerAwareNetwork(layers, scales).to(next(network.parameters()).device)
    batches = Batches(data, recipe.batch, seeds)
    finetune(
        aware,
        batches.at,
        recipe.epochs * batches.per_epoch,
        learning_rate=recipe.learning_rate,
        label_smoothing=recipe.label_smoothing,
    )
    tuned = _integer(network.workload.name, aware.tuned(), scales, data)
    return max(tuned, best, key=lambda candidate: integer_accuracy(candidate, data.validation))


def integer_accuracy(network: QuantizedNetwork, part: Part) -> float:
    """Fraction of a part's pictures that the integer network classifies right, by the golden model."""
    return accuracy_on_device(network, part.pictures, part.labels)


def _integer(name: str, layers: tuple[FloatLayer, ...], scales: Scales, data: DataSet) -> QuantizedNetwork:
    return quantize(name, layers, scales, pixel_table(data.mean, data.std, scales.picture))
