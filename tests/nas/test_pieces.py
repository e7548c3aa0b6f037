"""Batches that do not fit in memory: the same gradient, in pieces, said aloud and remembered."""

import pytest
import torch

from rhnas.nas.pieces import Pieces
from rhnas.nas.strategies.registry import STRATEGIES
from rhnas.nas.supernet import SuperNet
from tests.nas.searches import SETTINGS, new_search, reload


def test_the_gradient_in_pieces_is_that_of_the_batch(caplog):
    weight = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    pictures, labels = torch.randn(11, 6, dtype=torch.float64), torch.arange(11) % 3
    loss = torch.nn.functional.cross_entropy(pictures @ weight, labels, label_smoothing=0.1)
    (wanted,) = torch.autograd.grad(loss, weight)

    def scores(some):
        if len(some) > 3:
            raise torch.OutOfMemoryError("no memory for so many pictures")
        return some @ weight

    weight.grad = torch.ones_like(weight)
    pieces = Pieces(label_smoothing=0.1)
    got, right = pieces.gradient(scores, pictures, labels, [weight])
    assert pieces.count == 4
    assert "batches of 11 are computed in 4 pieces from here on" in caplog.text
    torch.testing.assert_close(weight.grad, wanted)
    torch.testing.assert_close(got.double(), loss, rtol=1e-6, atol=0)
    assert right.item() == pytest.approx(((pictures @ weight).argmax(1) == labels).float().mean().item())
    with pytest.raises(torch.OutOfMemoryError):
        Pieces().gradient(lambda some: scores(torch.ones(9)), pictures, labels, [weight])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_search_goes_on_in_pieces_and_so_does_its_resumption(strategy, monkeypatch):
    settings = SETTINGS.model_copy(update={"strategy": strategy, "warmup": 3})
    search, forward = new_search(settings=settings), SuperNet.forward

    def small(self, pictures, mixture):
        if len(pictures) > 8:
            raise torch.OutOfMemoryError("no memory for so many pictures")
        return forward(self, pictures, mixture)

    monkeypatch.setattr(SuperNet, "forward", small)
    search.step()
    assert search.strategy.pieces.count == 2
    resumed = new_search(settings=settings)
    resumed.restore(reload(search.state()))
    assert resumed.step().loss == search.step().loss
    for one, other in zip(search.supernet.parameters(), resumed.supernet.parameters(), strict=True):
        assert torch.equal(one, other)
