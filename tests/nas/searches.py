"""Searches on noise, small enough to be run whole in a test."""

import io

import torch

from rhnas.nas.data.augment import Augmentation
from rhnas.nas.data.dataset import DataSet, Part
from rhnas.nas.search import DifferentiableSearch
from rhnas.nas.supernet import SuperNet
from rhnas.networks.spaces.registry import network_space
from rhnas.seeds import Seeds
from rhnas.settings import NasSettings

SETTINGS = NasSettings(epochs=3, warmup=1, batch=16, freeze=0.5)


def random_data(train=48, validation=21):
    noise = torch.Generator().manual_seed(0)
    parts = [
        Part(
            torch.randint(256, (n, 1, 8, 8), generator=noise, dtype=torch.uint8),
            torch.randint(10, (n,), generator=noise),
        )
        for n in (train, validation)
    ]
    return DataSet(
        name="noise",
        classes=tuple("0123456789"),
        train=parts[0],
        validation=parts[1],
        mean=(0.5,),
        std=(0.3,),
        augmentation=Augmentation(shift=1),
        test_loader=lambda: parts[1],
    )


def new_search(root=0, settings=SETTINGS):
    seeds = Seeds(root=root)
    net = SuperNet(network_space("digits"), seeds.child("supernet"))
    return DifferentiableSearch(net, settings, random_data(), seeds.child("search"))


def reload(state):
    """Through a file, as a checkpoint goes; weights_only refuses anything but tensors and plain values."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


def finish(search):
    results = []
    while not search.finished:
        results.append(search.step())
    return results
