"""Integer networks as ONNX: onnxruntime's scores are the golden model's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")

from rhnas.errors import ToolFailedError
from rhnas.quantize import golden
from rhnas.quantize.export import onnx_model, onnx_scores, write_onnx
from tests.vta.lower.random_networks import networks, small_network


def random_pictures(network, count: int, seed: int) -> np.ndarray:
    stem, rng = network.layers[0].layer, np.random.default_rng(seed)
    return rng.integers(0, 256, (count, stem.channels[0], *stem.size)).astype(np.uint8)


@settings(max_examples=40)
@given(networks(), st.integers(1, 3))
def test_random_networks_give_the_golden_scores(network, count):
    pictures = random_pictures(network, count, seed=count)
    expected = golden.run(network, network.read_pixels(pictures))
    got = onnx_scores(onnx_model(network).SerializeToString(), pictures)
    assert got.dtype == np.int8
    np.testing.assert_array_equal(got, expected)


def test_only_standard_operators_are_used():
    model = onnx_model(small_network(np.random.default_rng(0)))
    assert {node.domain for node in model.graph.node} == {""}
    assert [entry.domain for entry in model.opset_import] == [""]


def test_other_scores_are_refused_and_nothing_is_written(tmp_path, monkeypatch):
    network = small_network(np.random.default_rng(0))
    pictures = random_pictures(network, 3, seed=0)
    write_onnx(network, tmp_path / "right.onnx", pictures)
    expected = golden.run(network, network.read_pixels(pictures))
    assert (onnx_scores((tmp_path / "right.onnx").read_bytes(), pictures) == expected).all()
    right = golden.run
    monkeypatch.setattr("rhnas.quantize.export.golden.run", lambda *given: ~right(*given))
    with pytest.raises(ToolFailedError, match="must give the golden model's scores; got others for 3 of 3"):
        write_onnx(network, tmp_path / "wrong.onnx", pictures)
    assert not (tmp_path / "wrong.onnx").exists()
