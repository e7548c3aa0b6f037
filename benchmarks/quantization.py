"""What int8 costs in accuracy: random networks of a space, trained, then calibrated and fine-tuned.

python benchmarks/quantization.py --data digits --seeds 3
python benchmarks/quantization.py --data cifar10 --space cifar --train 10000 --epochs 4
"""

from __future__ import annotations

import argparse
import time

import torch

from rhnas.nas.data.load import load_data
from rhnas.nas.integer import integer_accuracy, integer_network
from rhnas.nas.network import Network
from rhnas.nas.train import Training, evaluate
from rhnas.networks.spaces.registry import network_space
from rhnas.seeds import Seeds
from rhnas.settings import QuantizeSettings, TrainSettings


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--space", default="digits")
    parser.add_argument("--train", type=int, help="training pictures; all if left out")
    parser.add_argument("--validation", type=int, default=200)
    parser.add_argument("--test", type=int, help="test pictures; all if left out")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--tuning", type=int, default=2, help="epochs of fine-tuning")
    parser.add_argument("--seeds", type=int, default=1, help="networks, each with its own seed")
    parser.add_argument("--smallest", action="store_true", help="the smallest network, not random ones")
    return parser.parse_args()


def main() -> None:
    """Print one row per network and way of quantizing; accuracies are of the test part."""
    given = options()
    torch.set_num_threads(1)
    space = network_space(given.space)
    print("seed  macs        float   way                      int8    gap      seconds")
    for seed in range(given.seeds):
        seeds = Seeds(root=seed)
        data = load_data(
            given.data, seeds, picture=space.picture, train=given.train, validation=given.validation,
            test=given.test,
        )  # fmt: skip
        first = (0,) * len(space.decisions)
        architecture = first if given.smallest else space.sample(seeds.child("architecture").numpy())
        network = Network(space.workload(architecture), seeds)
        training = Training(network, TrainSettings(epochs=given.epochs, batch=given.batch), data, seeds)
        while not training.finished:
            training.step()
        test = data.read_test()
        exact = evaluate(network, data, test)
        for per_channel in (False, True):
            for epochs in (0, given.tuning):
                start = time.perf_counter()
                recipe = QuantizeSettings(epochs=epochs, batch=given.batch, per_channel=per_channel)
                accuracy = integer_accuracy(integer_network(network, data, recipe, seeds), test)
                way = f"{'per channel' if per_channel else 'per tensor'}, {epochs} epochs"
                print(
                    f"{seed:<4}  {network.workload.macs:<10,}  {exact:.4f}  {way:<23}  {accuracy:.4f}  "
                    f"{exact - accuracy:+.4f}  {time.perf_counter() - start:.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
