"""What every platform must do; subclass ``PlatformContract`` and give the fixtures."""

import numpy as np
import pytest

from rhnas.errors import InfeasibleDesignError, SettingsError
from rhnas.platform import Objective, Platform
from rhnas.space import DesignBatch, Rule, Space
from rhnas.workload import Layer, LayerKind

LAYERS = (
    Layer(name="stem", channels=(3, 16), size=(32, 32), kernel=(3, 3), padding=(1, 1), inputs=("",)),
    Layer(name="conv", channels=(16, 40), size=(16, 16), kernel=(3, 3), stride=(2, 2), padding=(1, 1)),
    Layer(name="depthwise", channels=(64, 64), size=(8, 8), kernel=(3, 3), padding=(1, 1), groups=64),
    Layer(name="pool", kind=LayerKind.MAX_POOL, channels=(64, 64), size=(8, 8), kernel=(2, 2), stride=(2, 2)),
    Layer(name="add", kind=LayerKind.ADD, channels=(64, 64), size=(8, 8)),
    Layer(name="fc", kind=LayerKind.DENSE, channels=(512, 10)),
)
ENUMERABLE = 20_000
"""Completions of a prefix that a test goes through."""


class PlatformContract:
    """Tests of the fixtures ``platform``, ``space`` (every space) and ``limits`` (one bound per name)."""

    @pytest.fixture
    def levels(self, platform: Platform, limits: dict[str, int]) -> tuple[Rule, ...]:
        """One rule or more of every level beyond the structural one."""
        rules = [*platform.rules(layers=LAYERS, chainable=True, limits=limits)]
        for part in platform.fpgas:
            rules += platform.rules(fpga=part)
        return tuple(rules)

    def some(self, space: Space, n: int, seed: int = 0) -> np.ndarray:
        """Random points, realizable or not, (n, D)."""
        return space.unravel(np.random.default_rng(seed).integers(space.points, size=n))

    def test_every_rule_says_why_and_where_from(self, space: Space, levels):
        rules = (*space.rules, *levels)
        for rule in rules:
            assert rule.name
            assert rule.invariant
            assert rule.reason
            assert rule.source
            assert rule.level in {"structural", "mapping", "chainable", "fpga", "limit"}
        assert all(rule.level == "structural" for rule in space.rules)
        assert all(rule.level != "structural" for rule in levels)
        assert len({rule.name for rule in space.rules}) == len(space.rules)

    def test_a_batch_is_a_loop(self, space: Space, levels):
        batch = space.decode(space.feasible().sample(12, np.random.default_rng(1)))
        for rule in (*space.rules, *levels):
            whole = rule.slack(batch)
            alone = [float(rule.slack(DesignBatch.of(batch.row(i)))[0]) for i in range(len(batch))]
            assert whole.shape == (len(batch),)
            assert whole.dtype == np.float64
            assert whole.tolist() == alone

    def test_a_rule_reads_what_it_declares(self, space: Space, levels):
        batch = space.decode(space.feasible().sample(30, np.random.default_rng(2)))
        for rule in (*space.rules, *levels):
            if rule.reads is not None:
                part = DesignBatch({key: batch[key] for key in rule.reads})
                assert (rule.slack(part) == rule.slack(batch)).all()

    def test_masks_are_exact(self, space: Space):
        feasible = space.feasible()
        for depth in range(len(space.choices)):
            rest = int(np.prod(space.shape[depth:]))
            if rest > ENUMERABLE:
                continue
            prefixes = self.some(space, 3, seed=depth)[:, :depth]
            for prefix, mask in zip(prefixes, feasible.mask(prefixes), strict=True):
                first = int(np.ravel_multi_index(tuple(prefix), space.shape[:depth])) * rest if depth else 0
                points = space.unravel(np.arange(first, first + rest))
                assert (points[:, :depth] == prefix).all()
                holds = (space.slack(space.decode(points)) >= 0).all(axis=1)
                assert mask.tolist() == holds.reshape(space.shape[depth], -1).any(axis=1).tolist()

    def test_a_configuration_exists_exactly_if_a_space_has_its_rules_kept(
        self, platform: Platform, space: Space
    ):
        """A space may keep out more than cannot be built."""
        rules = min((platform.space(name).rules for name in platform.spaces), key=len)
        assert set(rules) <= set(space.rules)
        batch = space.decode(self.some(space, 24))
        slack = space.slack(batch, rules)
        assert 0 < (slack >= 0).all(axis=1).sum() < len(slack)
        for i, slacks in enumerate(slack):
            broken = [rule.name for rule, s in zip(rules, slacks, strict=True) if s < 0]
            if not broken:
                platform.config(batch.row(i))
                continue
            with pytest.raises(InfeasibleDesignError) as caught:
                platform.config(batch.row(i))
            assert all(name in caught.value.what for name in broken)

    def test_further_levels_narrow_the_set(self, space: Space, levels):
        feasible = space.feasible()
        narrowed = feasible.restrict(levels)
        assert not (narrowed.allowed & ~feasible.allowed).any()
        drawn = feasible.sample(200, np.random.default_rng(3))
        holds = (space.slack(space.decode(drawn), levels) >= 0).all(axis=1)
        assert (narrowed.contains(drawn) == holds).all()
        assert 0 < holds.sum() < len(holds)

    def test_the_default_is_a_realizable_point_of_every_space(self, platform: Platform, space: Space):
        default = platform.default()
        assert space.feasible().contains(space.encode(default)[None]).all()
        assert platform.parse("default") == default
        assert platform.label(default)
        platform.config(default)

    def test_unknown_names_are_refused(self, platform: Platform):
        with pytest.raises(SettingsError, match="space"):
            platform.space("nonesuch")
        with pytest.raises(SettingsError, match="fpga"):
            platform.rules(fpga="nonesuch")
        with pytest.raises(SettingsError, match="limit"):
            platform.rules(limits={"nonesuch": 1})

    def test_costs_are_above_their_bounds_and_do_not_depend_on_the_batch(self, platform: Platform, space):
        feasible = space.feasible(platform.rules(layers=LAYERS))
        batch = space.decode(feasible.sample(4, np.random.default_rng(4)))
        model = platform.cost_model()
        cost = model.evaluate(batch, LAYERS)
        assert cost.mapped.all()
        bounds = model.bounds(batch, LAYERS)
        assert bounds.shape == (len(batch), len(LAYERS))
        assert (cost.cycles.min(axis=2) >= bounds).all()
        for objective in Objective:
            whole = cost.totals(objective)
            for i in range(len(batch)):
                alone = model.evaluate(batch.take(np.array([i])), LAYERS).totals(objective)
                assert alone.cycles[0] == whole.cycles[i]
                assert alone.energy_pj[0] == pytest.approx(whole.energy_pj[i], rel=1e-12)
