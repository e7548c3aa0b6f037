"""The search as an object: resumable at any step, deterministic, and honest about what it scores on."""

from dataclasses import replace

import pytest
import torch

from rhnas.errors import CheckpointError, DataError, SettingsError
from rhnas.nas.batches import Batches, accuracy, cosine
from rhnas.nas.data.dataset import Part
from rhnas.seeds import Seeds
from rhnas.settings import NasSettings
from tests.nas.searches import finish, new_search, random_data, reload


@pytest.mark.parametrize("stop", [2, 5])
def test_a_restored_search_goes_on_as_if_never_stopped(stop):
    whole = new_search()
    results = finish(whole)
    first = new_search()
    for _ in range(stop):
        first.step()
    second = new_search(root=0)
    second.restore(reload(first.state()))
    # nan before alpha learns and without a cost: compare as text.
    assert list(map(str, finish(second))) == list(map(str, results[stop:]))
    assert torch.equal(second.supernet.alpha, whole.supernet.alpha)
    assert second.derive(4) == whole.derive(4)


def test_other_seeds_give_other_searches():
    assert [r.architecture for r in finish(new_search(0))] != [r.architecture for r in finish(new_search(1))]


def test_warm_up_then_learning():
    search = new_search()
    for _ in range(search.batches.per_epoch):
        assert not search.learning
        search.step()
    assert search.learning
    assert search.supernet.alpha.abs().max() == 0
    search.step()
    assert search.supernet.alpha.abs().max() > 0


def test_candidates_are_distinct_and_sorted_and_hold_the_result():
    search = new_search()
    candidates = search.derive(8)
    assert len({c.architecture for c in candidates}) == len(candidates) == 8
    assert [c.accuracy for c in candidates] == sorted((c.accuracy for c in candidates), reverse=True)
    assert search.strategy.derive() in {c.architecture for c in candidates}
    assert [c.architecture for c in search.derive()] == [search.strategy.derive()]
    assert search.accuracy(candidates[0].architecture) == candidates[0].accuracy


def test_scoring_trains_nothing():
    search = new_search()
    before = {name: value.clone() for name, value in search.supernet.state_dict().items()}
    search.derive(4)
    assert all(torch.equal(value, before[name]) for name, value in search.supernet.state_dict().items())


def test_a_foreign_checkpoint_is_refused():
    search = new_search()
    with pytest.raises(CheckpointError, match="must be of this search"):
        search.restore({"position": 1})
    with pytest.raises(SettingsError, match=r"nas\.strategy must be one of"):
        new_search(settings=NasSettings(strategy="guess"))


def test_batches_cover_an_epoch_once_and_depend_on_the_step_alone():
    data = random_data(train=12)
    data = replace(data, train=Part(data.train.pictures, torch.arange(12)))
    batches, other = (Batches(data, 4, Seeds(root=0)) for _ in range(2))
    epoch = torch.cat([batches.at(step)[1] for step in range(3)])
    assert sorted(epoch.tolist()) == list(range(12))
    assert torch.equal(other.at(7)[0], batches.at(7)[0])
    assert not torch.equal(batches.at(0)[1], batches.at(3)[1])
    with pytest.raises(DataError, match="at least two"):
        Batches(random_data(train=1), 4, Seeds(root=0))


def test_accuracy_counts_every_picture_once():
    data = random_data(validation=1001)
    seen = []

    def oracle(pictures):
        seen.append(len(pictures))
        first = sum(seen[:-1])
        return torch.nn.functional.one_hot(data.validation.labels[first : first + len(pictures)], 10)

    assert accuracy(oracle, data, data.validation) == 1
    assert seen == [334, 334, 333]


def test_cosine_rises_and_falls():
    assert cosine(0.05, warmup=0.1) == pytest.approx(0.5)
    assert cosine(0.1, warmup=0.1) == 1
    assert cosine(1.0, warmup=0.1) == pytest.approx(0)
