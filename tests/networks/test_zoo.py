"""The zoo against published multiply-accumulate and parameter counts."""

import pytest

from rhnas.errors import SettingsError
from rhnas.networks.zoo import ZOO, load_network
from rhnas.workload import Layer, LayerKind, Workload

# Multiply-accumulates and parameters as torchvision's model pages and fvcore give them. ResNet-20:
# with projection shortcuts 40.81 M and 0.27 M; counted by hand in test_resnet20_by_hand.
PUBLISHED = {
    "resnet18": (1_814_073_344, 11_689_512),
    "resnet34": (3_663_761_408, 21_797_672),
    "resnet50": (4_089_184_256, 25_557_032),
    "mobilenet_v2": (300_774_272, 3_504_872),
    "resnet20": (40_813_184, 272_474),
}


def all_parameters(workload: Workload) -> int:
    """Weights, two batch-norm parameters per convolution channel, one bias per class."""
    norms = sum(2 * layer.channels[1] for layer in workload if layer.kind is LayerKind.CONV)
    biases = sum(layer.channels[1] for layer in workload if layer.kind is LayerKind.DENSE)
    return workload.parameters + norms + biases


@pytest.mark.parametrize("name", ZOO)
def test_counts_are_the_published_ones(name: str) -> None:
    workload = load_network(name)
    assert (workload.macs, all_parameters(workload)) == PUBLISHED[name]


def test_resnet20_by_hand() -> None:
    stages = [
        1024 * 9 * 3 * 16,
        6 * 1024 * 9 * 16 * 16,
        256 * 9 * (16 * 32 + 5 * 32 * 32),
        64 * 9 * (32 * 64 + 5 * 64 * 64),
        64 * 10,
    ]
    projections = ["layer2.0.downsample.0", "layer3.0.downsample.0"]
    workload = load_network("resnet20")
    assert sum(stages) == 40_551_040
    assert workload.without(projections).macs == 40_551_040
    assert workload.macs == 40_551_040 + 256 * 16 * 32 + 64 * 32 * 64


@pytest.mark.parametrize("name", ZOO)
def test_wiring(name: str) -> None:
    workload = load_network(name)
    layers = {layer.name: layer for layer in workload}
    assert [layer.name for layer in workload if layer.reads_picture] == [workload.layers[0].name]
    read = {source for layer in workload for source in layer.inputs}
    assert set(layers) - read == {workload.layers[-1].name}
    for layer in workload:
        assert len(layer.inputs) == (2 if layer.kind is LayerKind.ADD else 1)
    # The ReLU after a residual sum is the sum's, so what it reads last has none.
    assert not any(layers[layer.inputs[0]].relu for layer in workload if layer.kind is LayerKind.ADD)


def test_names_are_torchvisions() -> None:
    resnet = [layer.name for layer in load_network("resnet18")]
    assert resnet[:5] == ["conv1", "maxpool", "layer1.0.conv1", "layer1.0.conv2", "layer1.0.add"]
    assert {"layer2.0.downsample.0", "layer4.1.add"} <= set(resnet)
    assert resnet[-2:] == ["avgpool", "fc"]
    mobile = [layer.name for layer in load_network("mobilenet_v2")]
    assert mobile[:3] == ["features.0.0", "features.1.conv.0.0", "features.1.conv.1"]
    assert mobile[-3:] == ["features.18.0", "avgpool", "classifier.1"]
    assert sum(name.endswith(".add") for name in mobile) == 10


def test_stride_of_resnet50_is_on_the_3x3() -> None:
    layers: dict[str, Layer] = {layer.name: layer for layer in load_network("resnet50")}
    assert layers["layer2.0.conv1"].stride == (1, 1)
    assert layers["layer2.0.conv2"].stride == (2, 2)


def test_unknown_name_lists_and_suggests() -> None:
    with pytest.raises(SettingsError, match=r"resnet34.*got 'resnet81'.*did you mean 'resnet18'"):
        load_network("resnet81")
    with pytest.raises(SettingsError, match="give a name of the list"):
        load_network("qqq")
