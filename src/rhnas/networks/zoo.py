"""Fixed networks by name: published networks as workloads, with torchvision's layer names."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from rhnas.errors import SettingsError
from rhnas.workload import PICTURE, Layer, LayerKind, Workload


def load_network(name_or_path: str) -> Workload:
    """A network of the zoo by its name, or one read from an ONNX file.

    Raises:
        SettingsError: No such name; the message lists the names and the nearest one.
        DataError: The file is absent or not an ONNX model.
        UnsupportedNetworkError: The file holds an operator or shape the accelerator cannot run.
        MissingToolError: An ONNX file is given and the ``onnx`` extra is not installed.

    Example:
        >>> load_network("resnet18").macs
        1814073344
    """
    if name_or_path.lower().endswith(".onnx"):
        from rhnas.networks.onnx import read_onnx

        return read_onnx(Path(name_or_path))
    if name_or_path in ZOO:
        return ZOO[name_or_path]()
    near = difflib.get_close_matches(name_or_path, ZOO, n=1)
    nearest = f"did you mean {near[0]!r}? " if near else ""
    raise SettingsError(
        f"a network must be one of {', '.join(ZOO)}, or a file ending in .onnx",
        got=repr(name_or_path),
        fix=f"{nearest}give a name of the list or FILE.onnx",
    )


class NetworkBuilder:
    """Appends layers one after another, each reading the last one unless told otherwise.

    Sizes and input channels follow from what a layer reads, so a network is written as its published
    table: output channels, kernels, strides.

    Args:
        name: Of the workload.
        picture: Input (channels, height, width).

    Example:
        >>> net = NetworkBuilder("tiny", (3, 8, 8))
        >>> _ = net.conv("stem", 16, 3, stride=2)
        >>> net.workload().layers[0].output_size
        (4, 4)
    """

    def __init__(self, name: str, picture: tuple[int, int, int]) -> None:
        self.name = name
        self.last = PICTURE
        self._layers: list[Layer] = []
        self._shapes: dict[str, tuple[int, int, int]] = {PICTURE: picture}

    def conv(
        self,
        name: str,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        groups: int = 1,
        relu: bool = True,
        source: str | None = None,
    ) -> str:
        """A square convolution with padding (kernel - 1) / 2; returns its name."""
        source = self.last if source is None else source
        layer = Layer(
            name=name,
            channels=(self._shapes[source][0], channels),
            size=self._shapes[source][1:],
            kernel=(kernel, kernel),
            stride=(stride, stride),
            padding=(kernel // 2, kernel // 2),
            groups=groups,
            relu=relu,
            inputs=(source,),
        )
        return self._append(layer)

    def pool(self, name: str, kind: LayerKind, kernel: tuple[int, int], stride: int, padding: int = 0) -> str:
        """A maximum or average pooling."""
        channels, height, width = self._shapes[self.last]
        return self._append(
            Layer(
                name=name,
                kind=kind,
                channels=(channels, channels),
                size=(height, width),
                kernel=kernel,
                stride=(stride, stride),
                padding=(padding, padding),
                inputs=(self.last,),
            )
        )

    def global_average(self, name: str) -> str:
        """The mean over all pixels."""
        return self.pool(name, LayerKind.AVG_POOL, self._shapes[self.last][1:], stride=1)

    def add(self, name: str, first: str, second: str, *, relu: bool) -> str:
        """The sum of two tensors of one shape; a ReLU after it belongs to it."""
        channels, height, width = self._shapes[first]
        return self._append(
            Layer(
                name=name,
                kind=LayerKind.ADD,
                channels=(channels, channels),
                size=(height, width),
                relu=relu,
                inputs=(first, second),
            )
        )

    def dense(self, name: str, outputs: int) -> str:
        """A fully connected layer on the flattened last tensor."""
        channels, height, width = self._shapes[self.last]
        flat = channels * height * width
        return self._append(
            Layer(name=name, kind=LayerKind.DENSE, channels=(flat, outputs), inputs=(self.last,))
        )

    def channels(self, name: str) -> int:
        """Output channels of a layer (or of the picture)."""
        return self._shapes[name][0]

    def workload(self) -> Workload:
        """What has been appended so far."""
        return Workload(name=self.name, layers=tuple(self._layers))

    def _append(self, layer: Layer) -> str:
        self._layers.append(layer)
        self._shapes[layer.name] = (layer.channels[1], *layer.output_size)
        self.last = layer.name
        return layer.name


def basic_block(net: NetworkBuilder, name: str, channels: int, stride: int) -> None:
    """Two 3x3 convolutions and a shortcut, projected where the shape changes (He et al. 2016, option B)."""
    start = net.last
    net.conv(f"{name}.conv1", channels, 3, stride=stride)
    end = net.conv(f"{name}.conv2", channels, 3, relu=False)
    _close_residual(net, name, start, end, channels=channels, stride=stride)


def bottleneck(net: NetworkBuilder, name: str, channels: int, stride: int) -> None:
    """1x1, 3x3, 1x1 with four times the channels; the stride is on the 3x3 ("v1.5", as torchvision)."""
    start = net.last
    net.conv(f"{name}.conv1", channels, 1)
    net.conv(f"{name}.conv2", channels, 3, stride=stride)
    end = net.conv(f"{name}.conv3", 4 * channels, 1, relu=False)
    _close_residual(net, name, start, end, channels=4 * channels, stride=stride)


def _close_residual(
    net: NetworkBuilder, name: str, start: str, end: str, *, channels: int, stride: int
) -> None:
    if stride != 1 or net.channels(start) != channels:
        start = net.conv(f"{name}.downsample.0", channels, 1, stride=stride, relu=False, source=start)
    net.add(f"{name}.add", end, start, relu=True)


Block = Callable[[NetworkBuilder, str, int, int], None]


def _resnet_stages(net: NetworkBuilder, block: Block, depths: tuple[int, ...], width: int) -> None:
    for stage, depth in enumerate(depths):
        for index in range(depth):
            stride = 2 if stage > 0 and index == 0 else 1
            block(net, f"layer{stage + 1}.{index}", width << stage, stride)


def _resnet(name: str, block: Block, depths: tuple[int, ...]) -> Workload:
    """A residual network for 224x224 pictures (He et al., CVPR 2016, table 1)."""
    net = NetworkBuilder(name, (3, 224, 224))
    net.conv("conv1", 64, 7, stride=2)
    net.pool("maxpool", LayerKind.MAX_POOL, (3, 3), stride=2, padding=1)
    _resnet_stages(net, block, depths, 64)
    net.global_average("avgpool")
    net.dense("fc", 1000)
    return net.workload()


def resnet18() -> Workload:
    """ResNet-18, 1,814,073,344 multiply-accumulates."""
    return _resnet("resnet18", basic_block, (2, 2, 2, 2))


def resnet34() -> Workload:
    """ResNet-34, 3,663,761,408 multiply-accumulates."""
    return _resnet("resnet34", basic_block, (3, 4, 6, 3))


def resnet50() -> Workload:
    """ResNet-50 with the stride on the 3x3 convolution, 4,089,184,256 multiply-accumulates."""
    return _resnet("resnet50", bottleneck, (3, 4, 6, 3))


def resnet20() -> Workload:
    """ResNet-20 for 32x32 pictures (He et al. 2016, section 4.2) with projection shortcuts.

    The paper pads the two widening shortcuts with zero channels (option A, 40,551,040
    multiply-accumulates), which no layer of the accelerator does; the projections of option B bring
    40,813,184 in all.
    """
    net = NetworkBuilder("resnet20", (3, 32, 32))
    net.conv("conv1", 16, 3)
    _resnet_stages(net, basic_block, (3, 3, 3), 16)
    net.global_average("avgpool")
    net.dense("fc", 10)
    return net.workload()


# Sandler et al., CVPR 2018, table 2: expansion, output channels, repeats, stride of the first.
_MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def inverted_residual(net: NetworkBuilder, name: str, expansion: int, channels: int, stride: int) -> None:
    """1x1 to ``expansion`` times the channels, 3x3 depthwise, 1x1 back (Sandler et al. 2018)."""
    start = net.last
    hidden = net.channels(start) * expansion
    position = 0
    if expansion > 1:
        net.conv(f"{name}.conv.0.0", hidden, 1)
        position = 1
    net.conv(f"{name}.conv.{position}.0", hidden, 3, stride=stride, groups=hidden)
    end = net.conv(f"{name}.conv.{position + 1}", channels, 1, relu=False)
    if stride == 1 and net.channels(start) == channels:
        net.add(f"{name}.add", end, start, relu=False)


def mobilenet_v2() -> Workload:
    """MobileNetV2 at width 1, 300,774,272 multiply-accumulates; its ReLU6 stands as a ReLU."""
    net = NetworkBuilder("mobilenet_v2", (3, 224, 224))
    net.conv("features.0.0", 32, 3, stride=2)
    index = 0
    for expansion, channels, repeats, first_stride in _MOBILENET_V2:
        for repeat in range(repeats):
            index += 1
            stride = first_stride if repeat == 0 else 1
            inverted_residual(net, f"features.{index}", expansion, channels, stride)
    net.conv(f"features.{index + 1}.0", 1280, 1)
    net.global_average("avgpool")
    net.dense("classifier.1", 1000)
    return net.workload()


ZOO: dict[str, Callable[[], Workload]] = {
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "mobilenet_v2": mobilenet_v2,
    "resnet20": resnet20,
}
"""Networks by name; each call builds the workload anew."""
