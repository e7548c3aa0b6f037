"""ONNX import: what comes back is what was written, and what cannot run is named."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rhnas.errors import DataError, MissingToolError, UnsupportedNetworkError
from rhnas.networks.zoo import ZOO, load_network
from rhnas.workload import PICTURE, Layer, LayerKind, Workload

onnx = pytest.importorskip("onnx", reason="needs the onnx extra")
helper = onnx.helper
FLOAT = onnx.TensorProto.FLOAT


def weight(name: str, shape: tuple[int, ...]) -> Any:
    """A tensor that has a shape and no contents worth storing."""
    tensor = onnx.TensorProto(name=name, data_type=FLOAT, dims=shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="none.bin")
    return tensor


def layer_nodes(layer: Layer, tensors: dict[str, str]) -> tuple[list[Any], list[Any]]:
    """Nodes and weights of one layer, as exporters write them; ``tensors`` maps layers to outputs."""
    inputs = [tensors[source] for source in layer.inputs]
    name, out, weights = layer.name, f"{layer.name}:0", []
    window = {"strides": layer.stride, "pads": layer.padding * 2}
    if layer.kind is LayerKind.CONV:
        shape = (layer.channels[1], layer.channels[0] // layer.groups, *layer.kernel)
        weights = [weight(f"{name}.w", shape)]
        nodes = [helper.make_node("Conv", [*inputs, f"{name}.w"], [out], name, group=layer.groups, **window)]
    elif layer.kind is LayerKind.DENSE:
        weights = [weight(f"{name}.w", layer.channels[::-1]), weight(f"{name}.b", layer.channels[1:])]
        flat = helper.make_node("Flatten", inputs, [f"{name}:flat"])
        gemm = helper.make_node("Gemm", [f"{name}:flat", f"{name}.w", f"{name}.b"], [out], name, transB=1)
        nodes = [flat, gemm]
    elif layer.kind is LayerKind.ADD:
        nodes = [helper.make_node("Add", inputs, [out], name)]
    elif layer.kind is LayerKind.AVG_POOL and layer.kernel == layer.size:
        nodes = [helper.make_node("GlobalAveragePool", inputs, [out], name)]
    else:
        operator = "MaxPool" if layer.kind is LayerKind.MAX_POOL else "AveragePool"
        nodes = [helper.make_node(operator, inputs, [out], name, kernel_shape=layer.kernel, **window)]
    if layer.relu:
        nodes.append(helper.make_node("Relu", [out], [f"{name}:relu"]))
        out = f"{name}:relu"
    tensors[name] = out
    return nodes, weights


def write_workload(workload: Workload, path: Path) -> Path:
    first = workload.layers[0]
    tensors = {PICTURE: "picture"}
    nodes: list[Any] = []
    weights: list[Any] = []
    for layer in workload:
        more_nodes, more_weights = layer_nodes(layer, tensors)
        nodes += more_nodes
        weights += more_weights
    picture = ["batch", first.channels[0], *first.size]
    return write_model(path, nodes, weights, picture, nodes[-1].output[0])


def write_model(
    path: Path, nodes: list[Any], weights: list[Any], picture: list[Any], output: str = "out"
) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("picture", FLOAT, picture)],
        [helper.make_tensor_value_info(output, FLOAT, None)],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("name", ZOO)
def test_a_written_zoo_network_comes_back(name: str, tmp_path: Path) -> None:
    workload = load_network(name)
    back = load_network(str(write_workload(workload, tmp_path / f"{name}.onnx")))
    assert back == workload


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # PyTorch's exporter uses deprecated parts of its own libraries.
def test_an_exported_torch_network(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxscript", reason="needs the onnx extra")
    nn = torch.nn

    class Net(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
            self.wide = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1, groups=8), nn.BatchNorm2d(8), nn.ReLU6())
            self.pool, self.drop = nn.MaxPool2d(2), nn.Dropout(0.1)
            self.head = nn.Linear(8, 10)

        def forward(self, picture: Any) -> Any:
            stem = self.stem(picture)
            both = torch.relu(self.wide(stem) + stem)
            pooled = nn.functional.adaptive_avg_pool2d(self.pool(both), 1)
            return self.head(self.drop(torch.flatten(pooled, 1)))

    path = tmp_path / "net.onnx"
    example = torch.zeros(1, 3, 16, 16)
    torch.onnx.export(Net().eval(), (example,), str(path), dynamo=True, verbose=False)
    size, tail = (16, 16), {"kernel": (3, 3), "padding": (1, 1), "size": (16, 16), "relu": True}
    expected = [
        Layer(name="a", channels=(3, 8), inputs=(PICTURE,), **tail),
        Layer(name="b", channels=(8, 8), groups=8, inputs=("a",), **tail),
        Layer(name="c", kind=LayerKind.ADD, channels=(8, 8), size=size, relu=True, inputs=("b", "a")),
        Layer(name="d", kind=LayerKind.MAX_POOL, channels=(8, 8), size=size, kernel=(2, 2), stride=(2, 2)),
        Layer(name="e", kind=LayerKind.AVG_POOL, channels=(8, 8), size=(8, 8), kernel=(8, 8)),
        Layer(name="f", kind=LayerKind.DENSE, channels=(8, 10)),
    ]
    assert [layer.shape for layer in load_network(str(path))] == [layer.shape for layer in expected]


def conv(out: str = "a", source: str = "picture", **attributes: Any) -> Any:
    return helper.make_node("Conv", [source, "w"], [out], f"{out}_conv", **attributes)


WEIGHT = weight("w", (4, 4, 3, 3))
ONE = onnx.numpy_helper.from_array(np.ones(1, np.float32), "one")
PAD = {"pads": (1, 1, 1, 1)}
REFUSED = {
    "operator": ([helper.make_node("Sigmoid", ["picture"], ["out"], "s")], r"'s' \(Sigmoid\).*Sigmoid"),
    "nearest": ([helper.make_node("LpPool", ["picture"], ["out"], "p", kernel_shape=(2, 2))], "MaxPool"),
    "dilation": ([conv("out", dilations=(2, 2), pads=(2, 2, 2, 2))], r"'out_conv'.*dilations.*got \[2, 2\]"),
    "padding": ([conv("out", pads=(0, 0, 1, 1))], r"symmetric.*got \[0, 0, 1, 1\]"),
    "same": ([conv("out", strides=(2, 2), auto_pad="SAME_UPPER")], r"symmetric.*SAME_UPPER"),
    "ceil": (
        [
            helper.make_node(
                "MaxPool", ["picture"], ["out"], "p", kernel_shape=(3, 3), strides=(2, 2), ceil_mode=1
            )
        ],
        r"must write .* \(4, 3, 3\); got \(4, 4, 4\)",
    ),
    "average of padding": (
        [helper.make_node("AveragePool", ["picture"], ["out"], "p", kernel_shape=(3, 3), **PAD)],
        "count_include_pad",
    ),
    "mean over channels": (
        [helper.make_node("ReduceMean", ["picture"], ["out"], "m", axes=[1])],
        "height and",
    ),
    "reshape": (
        [helper.make_node("Flatten", ["picture"], ["out"], "f", axis=2)],
        r"'f' \(Flatten\): a reshape must flatten",
    ),
    "relu of the picture": ([helper.make_node("Relu", ["picture"], ["out"], "r")], "must follow a layer"),
    "relu beside a plain reader": (
        [
            conv(**PAD),
            helper.make_node("Relu", ["a"], ["b"], "r"),
            helper.make_node("Add", ["a", "b"], ["out"], "sum"),
        ],
        r"'r' \(Relu\): must follow a layer whose result nothing else reads",
    ),
    "bias after relu": (
        [
            conv(**PAD),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Add", ["b", "one"], ["out"], "s"),
        ],
        r"'s' \(Add\)",
    ),
    "clip": (
        [conv(**PAD), helper.make_node("Clip", ["a", "one"], ["out"], "c")],
        r"clip from 0.*got 1\.0",
    ),
    "broadcast": (
        [
            helper.make_node("GlobalAveragePool", ["picture"], ["a"], "g"),
            helper.make_node("Add", ["picture", "a"], ["out"], "s"),
        ],
        r"'s' \(Add\): must add tensors of one shape",
    ),
    "joined channels": (
        [helper.make_node("Concat", ["picture", "picture"], ["out"], "c", axis=1)],
        "'c'.*constants",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_run_is_named(case: str, tmp_path: Path) -> None:
    nodes, message = REFUSED[case]
    path = write_model(tmp_path / "net.onnx", nodes, [WEIGHT, ONE], [1, 4, 8, 8])
    with pytest.raises(UnsupportedNetworkError, match=message):
        load_network(str(path))


POOLED = {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)}
POOLS = {
    "padded maximum": (helper.make_node("MaxPool", ["picture"], ["out"], "p", **POOLED), LayerKind.MAX_POOL),
    "padded average": (
        helper.make_node("AveragePool", ["picture"], ["out"], "p", count_include_pad=1, **POOLED),
        LayerKind.AVG_POOL,
    ),
}


@pytest.mark.parametrize("case", POOLS)
def test_padded_pools_come_in_with_their_padding(case: str, tmp_path: Path) -> None:
    node, kind = POOLS[case]
    expected = Layer(
        name="p",
        kind=kind,
        channels=(4, 4),
        size=(9, 7),
        kernel=(3, 3),
        stride=(2, 2),
        padding=(1, 1),
        inputs=(PICTURE,),
    )
    path = write_model(tmp_path / "net.onnx", [node], [], [1, 4, 9, 7])
    assert load_network(str(path)).layers == (expected,)


@pytest.mark.parametrize("axes", [[2, 3], [-1, -2]])
def test_a_mean_over_the_picture_is_a_pool(axes: list[int], tmp_path: Path) -> None:
    node = helper.make_node("ReduceMean", ["picture"], ["out"], "m", axes=axes, keepdims=0)
    (layer,) = load_network(str(write_model(tmp_path / "net.onnx", [node], [], [1, 4, 9, 7]))).layers
    assert (layer.kind, layer.kernel, layer.output_size) == (LayerKind.AVG_POOL, (9, 7), (1, 1))


def test_a_truncated_model_is_named(tmp_path: Path) -> None:
    path = write_workload(load_network("resnet20"), tmp_path / "net.onnx")
    content = path.read_bytes()
    for kept in range(0, len(content), len(content) // 40):
        path.write_bytes(content[:kept])
        with pytest.raises(DataError, match=r"net\.onnx must be an ONNX model"):
            load_network(str(path))


def test_a_dynamic_picture_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "net.onnx", [conv("out")], [WEIGHT], ["batch", 4, "height", 8])
    with pytest.raises(UnsupportedNetworkError, match=r"'out_conv'.*'picture' must have a fixed shape"):
        load_network(str(path))


def test_bias_and_relu6_and_bounds_are_absorbed(tmp_path: Path) -> None:
    zero = onnx.numpy_helper.from_array(np.zeros((), np.float32), "zero")
    four = weight("four", (4,))
    nodes = [
        conv(auto_pad="SAME_UPPER"),
        helper.make_node("Add", ["a", "one"], ["b"]),
        helper.make_node("BatchNormalization", ["b", "four", "four", "four", "four"], ["c"]),
        helper.make_node("Clip", ["c", "zero"], ["d"]),
        helper.make_node("Dropout", ["d"], ["out"]),
    ]
    path = write_model(tmp_path / "net.onnx", nodes, [WEIGHT, ONE, zero, four], [1, 4, 8, 8])
    size = (8, 8)
    expected = Layer(
        name="a_conv", channels=(4, 4), size=size, kernel=(3, 3), padding=(1, 1), relu=True, inputs=(PICTURE,)
    )
    assert load_network(str(path)).layers == (expected,)


def test_a_computed_reshape_is_a_flatten(tmp_path: Path) -> None:
    numbers = [
        onnx.numpy_helper.from_array(np.array(value, np.int64), name)
        for name, value in (("zero", 0), ("axis", [0]), ("rest", [-1]))
    ]
    nodes = [
        helper.make_node("Shape", ["picture"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axis"], ["batch1"]),
        helper.make_node("Concat", ["batch1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["picture", "target"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["out"], "dense"),
    ]
    path = write_model(tmp_path / "net.onnx", nodes, [weight("w", (64, 10)), *numbers], ["n", 4, 4, 4])
    (dense,) = load_network(str(path)).layers
    assert (dense.kind, dense.channels, dense.macs) == (LayerKind.DENSE, (64, 10), 640)


@pytest.mark.parametrize("content", [b"", b"nonsense, not a model", bytes(range(256)), b"\x08\x08"])
def test_nonsense_is_not_a_model(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(DataError, match=r"net\.onnx must be an ONNX model"):
        load_network(str(tmp_path / "net.onnx"))


def test_shapes_that_contradict_are_named(tmp_path: Path) -> None:
    path = write_model(tmp_path / "net.onnx", [conv("out")], [weight("w", (4, 3, 3, 3))], [1, 4, 8, 8])
    with pytest.raises(UnsupportedNetworkError, match=r"'out_conv'.*must read 4 channels; got 3"):
        load_network(str(path))


def test_an_absent_file_and_an_absent_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="must be readable; got No such file"):
        load_network(str(tmp_path / "none.onnx"))
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingToolError, match=r"pip install 'rhnas\[onnx\]'"):
        load_network(str(tmp_path / "none.onnx"))
