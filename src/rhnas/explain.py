"""Whether one design can be built, level by level, and the smallest change where it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rhnas.nearest import describe_change, nearest_design, single_change
from rhnas.platform import Platform
from rhnas.space import DesignBatch, Rule, Space
from rhnas.workload import Layer


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One rule on one design.

    Attributes:
        rule: The rule.
        slack: Its slack in the rule's own unit; >= 0 where it holds.
        fix: The smallest change of one key after which this rule holds, ``KEY=VAL``; None if it holds
            already or no single key suffices.
    """

    rule: Rule
    slack: float
    fix: str | None

    @property
    def holds(self) -> bool:
        """Whether the design keeps the rule."""
        return self.slack >= 0

    def to_json(self) -> dict[str, Any]:
        """The finding as ``rhnas explain --json`` prints it."""
        rule = self.rule
        return {
            "level": rule.level,
            "name": rule.name,
            "slack": self.slack,
            "invariant": rule.invariant,
            "reason": rule.reason,
            "source": rule.source,
            "fix": self.fix,
        }


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A verdict with its reasons.

    Attributes:
        row: The design.
        label: Its short name.
        space: The space in which fixes were sought.
        findings: The structural rules and those of the levels asked for.
        fix: The nearest design that keeps all of them, as changes; None if ``row`` does or none exists.
        fpgas: Slack of every rule of every part, by part and rule name.
        chainable: Whether whole networks run without the host.
    """

    row: Mapping[str, int]
    label: str
    space: str
    findings: tuple[Finding, ...]
    fix: str | None
    fpgas: Mapping[str, Mapping[str, float]]
    chainable: bool

    @property
    def realizable(self) -> bool:
        """Whether every rule asked for holds."""
        return all(finding.holds for finding in self.findings)

    @property
    def structural(self) -> bool:
        """Whether the structural rules hold."""
        return all(finding.holds for finding in self.findings if finding.rule.level == "structural")

    @property
    def fits(self) -> dict[str, bool]:
        """For each part whether the design can be built and fits."""
        return {
            part: self.structural and all(slack >= 0 for slack in slacks.values())
            for part, slacks in self.fpgas.items()
        }

    def to_json(self) -> dict[str, Any]:
        """The object that ``rhnas explain --json`` prints."""
        return {
            "realizable": self.realizable,
            "fits": self.fits,
            "chainable": self.chainable,
            "accelerator": dict(self.row),
            "label": self.label,
            "space": self.space,
            "fix": self.fix,
            "rules": [finding.to_json() for finding in self.findings],
            "fpgas": {part: dict(slacks) for part, slacks in self.fpgas.items()},
        }


def explain(
    platform: Platform,
    row: Mapping[str, int],
    space: Space,
    *,
    fpga: str | None = None,
    layers: Sequence[Layer] = (),
) -> Explanation:
    """Judge one design.

    Args:
        platform: The family it belongs to.
        row: A full row, realizable or not.
        space: Where fixes are sought; values of ``row`` outside it are kept where no rule forbids them.
        fpga: A part that it must fit.
        layers: Layers that must have a mapping.

    Example:
        >>> from rhnas.platform import load_platform
        >>> vta = load_platform("vta")
        >>> space = vta.space("vta-intel")
        >>> explain(vta, vta.parse("LOG_ACC_BUFF_SIZE=18"), space).fix
        'LOG_ACC_BUFF_SIZE=17'
        >>> [part for part, fits in explain(vta, vta.default(), space).fits.items() if fits]
        ['xc7z020', 'xczu3eg']
    """
    rules = (*space.rules, *platform.rules(layers=layers, fpga=fpga))
    findings = tuple(_find(space, row, rule, platform.default()) for rule in rules)
    fixed = None
    if any(not finding.holds for finding in findings):
        fixed = nearest_design(space, row, rules, platform.default())
    return Explanation(
        row=dict(row),
        label=platform.label(row),
        space=space.name,
        findings=findings,
        fix=None if fixed is None else describe_change(row, fixed),
        fpgas={
            part: {rule.name: _slack(row, rule) for rule in platform.rules(fpga=part)}
            for part in platform.fpgas
        },
        chainable=all(_slack(row, rule) >= 0 for rule in platform.rules(chainable=True)),
    )


def _slack(row: Mapping[str, int], rule: Rule) -> float:
    slack = float(rule.slack(DesignBatch.of(row))[0])
    return int(slack) if slack.is_integer() else slack


def _find(space: Space, row: Mapping[str, int], rule: Rule, prefer: Mapping[str, int]) -> Finding:
    slack = _slack(row, rule)
    fixed = None if slack >= 0 else single_change(space, row, rule, prefer)
    return Finding(rule=rule, slack=slack, fix=None if fixed is None else describe_change(row, fixed))
