"""The VTA family keeps the contract of platforms."""

import pytest

from rhnas.platform import feasible_designs, load_platform
from rhnas.vta.spaces import SPACES
from tests.platform_contract import PlatformContract


class TestVta(PlatformContract):
    @pytest.fixture
    def platform(self):
        return load_platform("vta")

    @pytest.fixture(params=SPACES)
    def space(self, request, platform):
        return platform.space(request.param)

    @pytest.fixture
    def limits(self):
        return {"macs": 256, "bus_bits": 64, "sram_kib": 448}

    def test_the_headline_budget_admits_the_default(self, platform, space, limits):
        allowed = feasible_designs(platform, space, limits=limits, chainable=True)
        assert allowed.contains(space.encode(platform.default())[None]).all()
        assert allowed.count < space.feasible().count
