"""That a pretrained policy answers for workloads it never saw, and that its training and files are sound."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
import torch

from rhnas.agents.evaluator import DesignCosts
from rhnas.agents.features import budget_features, feature_count
from rhnas.agents.lessons import LessonSettings, Teacher
from rhnas.agents.policy import Ensemble, FactoredPolicy, of_chosen, prefix_masks
from rhnas.agents.policy_file import KIND, load_policy, read_policy, save_policy
from rhnas.agents.pretraining import Pretraining, PretrainSettings, pretrain
from rhnas.agents.price_table import PriceTable
from rhnas.agents.registry import make_agent
from rhnas.checkpoint import pack
from rhnas.cli.app import main
from rhnas.errors import CheckpointError, SettingsError
from rhnas.networks.random import random_network
from rhnas.networks.zoo import load_network
from rhnas.optimize import Question, Task, optimize
from rhnas.platform import Objective, load_platform
from rhnas.seeds import Seeds
from rhnas.workload import Workload
from tests.agents.toys import ToyPlatform, context_of, toy_space

PLATFORM = ToyPlatform()
SPACE = PLATFORM.space("toy")
QUICK = PretrainSettings(
    rounds=4,
    steps=100,
    batch=128,
    hidden=32,
    learning_rate=1e-2,
    lessons=LessonSettings(networks=6, settings=16, weightings=2),
)


class KilledError(Exception):
    pass


def training_of(settings=QUICK, seed=0):
    seeds = Seeds(root=seed)
    teacher = Teacher(PLATFORM, SPACE, (), settings.lessons, seeds.child("teacher"))
    return Pretraining(SPACE, teacher, settings, seeds)


def trained(out, settings=QUICK, seed=0, **how):
    return pretrain(training_of(settings, seed), out, {"seed": seed, "settings": asdict(settings)}, **how)


def held_out_tasks():
    """Real networks, none of which is taught, under budgets."""
    for name, objective, bound in itertools.product(("resnet18", "mobilenet_v2"), Objective, (5, 8, 14)):
        network = load_network(name)
        yield Task(
            PLATFORM, Question(network=network, space="toy", objective=objective, limits={"sum": bound})
        )


def untrained(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Ensemble([FactoredPolicy(SPACE.shape, feature_count(SPACE), 32, generator) for _ in range(2)])


@pytest.fixture(scope="module")
def policy_file(tmp_path_factory):
    out = tmp_path_factory.mktemp("policy") / "toy.policy"
    trained(out)
    return out


def first_answer_gaps(path):
    gaps = []
    for task in held_out_tasks():
        scores = task.costs(task.designs.all())
        context = task.context(1)
        design = task.agent("pretrained", 0, pretrained=str(path)).ask(1, context)
        assert task.designs.contains(design).all()
        gaps.append(np.exp(task.costs(design)[0] - scores.min()) - 1)
    return np.array(gaps)


def test_the_first_answer_is_near_the_optimum_of_networks_and_budgets_it_never_saw(policy_file, tmp_path):
    new = tmp_path / "new.policy"
    save_policy(new, untrained(), SPACE, {})
    taught, blank = first_answer_gaps(policy_file), first_answer_gaps(new)
    assert np.median(taught) < 0.05
    assert np.median(taught) < np.median(blank) / 4


def test_it_goes_on_from_its_answer_to_the_optimum_and_never_leaves_the_feasible_designs(policy_file):
    for task in held_out_tasks():
        agent = task.agent("pretrained", 0, pretrained=str(policy_file))
        answer = optimize(task, agent, budget=20)  # the loop refuses infeasible proposals
        assert answer.evaluations == min(20, task.designs.count)
        assert answer.gap == pytest.approx(0, abs=0.02)


def test_a_warm_start_lets_ppo_propose_what_was_learnt(policy_file):
    task = next(held_out_tasks())
    scores = task.costs(task.designs.all())
    warm, cold = (
        np.mean(task.costs(task.agent("ppo", 0, **options).ask(64, task.context(300))))
        for options in ({"pretrained": str(policy_file)}, {})
    )
    assert warm - scores.min() < (cold - scores.min()) / 2


def test_training_goes_on_from_a_policy(policy_file):
    settings = replace(SHORT, rounds=1)
    known = load_policy(policy_file, SPACE)
    seeds = Seeds(root=5)
    teacher = Teacher(PLATFORM, SPACE, (), QUICK.lessons, seeds)
    (after,) = Pretraining(SPACE, teacher, settings, seeds, known)
    (anew,) = Pretraining(SPACE, teacher, settings, seeds)
    assert after.gap < anew.gap / 4


def test_the_likelihood_of_designs_is_that_of_their_choices():
    policy, context = untrained(), context_of(SPACE.feasible(PLATFORM.rules(limits={"sum": 5})))
    features = torch.from_numpy(context.features).float()
    drawn, _, chances = policy.sample(features, context.designs, 20, 1.0, torch.Generator().manual_seed(0))
    found = policy.likelihood(features, context.designs, drawn.numpy())
    assert torch.allclose(found, chances.sum(dim=1), atol=1e-5)
    everything = policy.likelihood(features, context.designs, context.designs.all())
    assert float(everything.exp().sum()) == pytest.approx(1, abs=1e-5)


def test_budget_features_are_those_of_the_designs_listed():
    designs = SPACE.feasible(PLATFORM.rules(limits={"sum": 5}))
    share = designs.all() / (np.array(SPACE.shape) - 1)  # (B, D)
    count = designs.count
    wanted = [np.log10(count) / 6, np.log10(count / SPACE.points), *share.mean(axis=0), *share.max(axis=0)]
    assert budget_features(designs) == pytest.approx(wanted)


def test_an_ensemble_is_the_renormalised_geometric_mean_of_its_members():
    ensemble, designs = untrained(5), SPACE.feasible(PLATFORM.rules(limits={"sum": 9}))
    with torch.no_grad():  # untrained members are nearly alike
        for member in ensemble.networks:
            member.head.weight.mul_(100)
    features = torch.from_numpy(context_of(designs).features).float()
    chosen = designs.all()
    each = torch.stack([member.likelihood(features, designs, chosen) for member in ensemble.networks])
    together = ensemble.likelihood(features, designs, chosen)
    assert together.exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert not torch.allclose(each[0], each[1], atol=0.1)
    # With the first choices held, one choice is left: there the definition can be written out.
    alike = (chosen[:, :-1] == chosen[0, :-1]).all(axis=1)
    masks = prefix_masks(designs, chosen[alike])
    rows = torch.from_numpy(chosen[alike])
    last = [
        of_chosen(policy(features.expand(len(rows), -1), rows, masks), rows)[:, -1]
        for policy in (*ensemble.networks, ensemble)
    ]
    mean = torch.stack(last[:-1]).mean(dim=0).exp()
    assert last[-1].exp().tolist() == pytest.approx((mean / mean.sum()).tolist(), rel=1e-4)


def test_a_file_gives_back_the_same_policy(tmp_path):
    policy, path = untrained(3), tmp_path / "a.policy"
    save_policy(path, policy, SPACE, {"networks": ["resnet20"]})
    again = load_policy(path, SPACE)
    assert all(torch.equal(a, b) for a, b in zip(policy.parameters(), again.parameters(), strict=True))
    assert read_policy(path)["trained_on"] == {"networks": ["resnet20"]}
    context = context_of(SPACE.feasible())
    features = torch.from_numpy(context.features).float()
    assert (
        policy.answer(features, context.designs).tolist() == again.answer(features, context.designs).tolist()
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "must be readable"),
        (b"no archive", "undamaged policy file"),
        (pack({"kind": "something else"}), "must hold a policy's networks"),
        (pack({"kind": KIND, "policy": {}}), "must hold a policy's networks"),
    ],
)
def test_files_that_are_no_policy_are_refused(tmp_path, content, message):
    path = tmp_path / "a.policy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        make_agent("pretrained", SPACE.feasible(), Seeds(root=0), pretrained=str(path))
    assert "rhnas pretrain" in caught.value.fix


def test_a_damaged_byte_and_another_space_are_refused(tmp_path, policy_file):
    content = bytearray(policy_file.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / "damaged.policy"
    damaged.write_bytes(content)
    with pytest.raises(CheckpointError, match="undamaged policy file"):
        load_policy(damaged, SPACE)
    with pytest.raises(CheckpointError, match="must be made for the choices of space 'toy'"):
        load_policy(policy_file, toy_space(7, 7, 5))
    with pytest.raises(SettingsError, match="must be given a policy file in the space 'toy'") as caught:
        make_agent("pretrained", SPACE.feasible(), Seeds(root=0))
    assert "vta, vta-intel" in caught.value.got


@pytest.mark.parametrize("name", ["vta", "vta-intel"])
def test_what_comes_with_the_package_answers_near_the_optimum_where_it_was_not_taught(name):
    question = Question(network=load_network("resnet18"), space=name, limits={"macs": 256, "bus_bits": 64})
    task = Task(load_platform("vta"), question)
    first = task.costs(task.agent("pretrained", 0).ask(1, task.context(1)))[0]
    drawn = task.costs(task.agent("random", 0).ask(64, task.context(64)))
    assert first < np.quantile(drawn, 0.05)


SHORT = PretrainSettings(
    rounds=3, steps=5, batch=16, hidden=8, lessons=LessonSettings(networks=2, settings=3, weightings=1)
)


def test_a_killed_training_ends_with_the_same_weights(tmp_path):
    whole, resumed = tmp_path / "whole.policy", tmp_path / "resumed.policy"
    trained(whole, SHORT)

    def die(progress):
        if progress.done == 2:
            raise KilledError

    with pytest.raises(KilledError):
        trained(resumed, SHORT, report=die)
    assert not resumed.exists()
    with pytest.raises(SettingsError, match="must not replace an older one"):
        trained(resumed, SHORT)
    with pytest.raises(SettingsError, match="settings it was started with"):
        trained(resumed, SHORT, seed=1, resume=True)
    told = []
    trained(resumed, SHORT, resume=True, report=told.append)
    assert [progress.done for progress in told] == [3]
    assert [path.name for path in tmp_path.iterdir() if "checkpoint" in path.name] == []
    policies = [load_policy(path, SPACE).state_dict() for path in (whole, resumed)]
    assert all(torch.equal(policies[0][name], policies[1][name]) for name in policies[0])
    assert trained(resumed, SHORT, resume=True) == read_policy(resumed)["trained_on"]


def test_another_seed_learns_otherwise():
    policies = []
    for seed in (0, 0, 1):
        training = training_of(SHORT, seed)
        list(training)
        policies.append(training.policy.networks[0].first.weight)
    assert torch.equal(policies[0], policies[1])
    assert not torch.equal(policies[0], policies[2])


@pytest.mark.parametrize("enumerated", [1, 1 << 13])
def test_what_is_taught_is_feasible_and_good(enumerated):
    settings = LessonSettings(networks=2, settings=6, weightings=2, enumerated=enumerated)
    teacher = Teacher(PLATFORM, SPACE, (), settings, Seeds(root=0))
    policy = untrained()
    taught = teacher.round(0, policy, np.empty(0, dtype=np.int64))
    lessons = taught.lessons
    assert len(taught.gaps) == len(lessons.features) == 6 * 2 * len(Objective)
    assert (taught.gaps >= 0).all()
    for features, chosen, masks in zip(lessons.features, lessons.chosen, lessons.masks, strict=True):
        log_policy = policy(features.expand(len(chosen), -1), chosen, masks)
        assert torch.isfinite(of_chosen(log_policy, chosen)).all()
    assert np.isin(SPACE.ravel(lessons.chosen.reshape(-1, 3).numpy()), taught.taught).all()


def test_the_table_prices_networks_as_the_cost_model_does():
    platform = load_platform("vta")
    space, network = platform.space("vta-intel"), load_network("resnet20")
    chosen = space.feasible().flat[::300]
    layers, inverse = network.unique
    model = platform.cost_model()
    table = PriceTable(space, model, layers)
    table.add(chosen[:10])
    table.add(chosen)
    columns, weights = np.arange(len(layers)), np.bincount(inverse).astype(np.float64)
    for objective in Objective:
        exact = DesignCosts(space, model, network.layers, objective)(space.unravel(chosen))
        found = table.scores(table.rows(chosen), objective, columns, weights)
        assert np.array_equal(np.isnan(found), np.isnan(exact))
        mapped = ~np.isnan(exact)
        over = found[mapped] - exact[mapped]
        assert mapped.sum() > 10
        assert (over >= -1e-9).all()
        assert (over <= (5e-3 if objective is Objective.EDP else 1e-9)).all()


def test_prefix_masks_are_those_of_the_choices_before():
    designs = SPACE.feasible(PLATFORM.rules(limits={"sum": 5}))
    chosen = designs.all()[::7]
    masks = prefix_masks(designs, chosen)
    for row, mask in zip(chosen, masks, strict=True):
        for d in range(3):
            assert mask[d, : SPACE.shape[d]].tolist() == designs.mask(row[None, :d])[0].tolist()
            assert not mask[d, SPACE.shape[d] :].any()


def test_random_networks_chain_and_differ():
    rng = np.random.default_rng(0)
    networks = [random_network(rng) for _ in range(20)]
    assert all(isinstance(network, Workload) and network.macs > 0 for network in networks)
    assert len({network.macs for network in networks}) == 20


def test_the_command_trains_resumes_and_is_used(tmp_path, capsys, monkeypatch):
    quick = partial(PretrainSettings, steps=5, lessons=SHORT.lessons)
    monkeypatch.setattr("rhnas.agents.pretraining.PretrainSettings", quick)
    out = str(tmp_path / "a.policy")
    command = ["pretrain", "--platform", "systolic", "--networks", "resnet20", "--rounds", "1", "--out", out]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--json"])
    assert ended.value.code == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rounds"] == 1
    assert result["problems"] > 0
    with pytest.raises(SystemExit) as ended:
        main([*command, "--json"])
    assert ended.value.code == 2
    assert "must not replace" in json.loads(capsys.readouterr().out)["error"]["what"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--resume", "--json"])
    assert json.loads(capsys.readouterr().out) == result
    further = str(tmp_path / "further.policy")
    with pytest.raises(SystemExit) as ended:
        main([*command[:-1], further, "--start", out, "--seed", "1", "--json"])
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["start"] == hashlib.sha256((tmp_path / "a.policy").read_bytes()).hexdigest()
    assert "start" not in result
    asked = ["--network", "resnet20", "--pretrained", out, "--budget", "1", "--no-optimum", "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["optimize", "--platform", "systolic", *asked])
    answer = json.loads(capsys.readouterr().out)
    assert answer["agent"] == "pretrained"
    assert answer["evaluations"] == 1
