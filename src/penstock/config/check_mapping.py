"""Checks of mappings: every reference resolves, and every document can be written from the events
that come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from urllib.parse import urlsplit

from penstock import units
from penstock.config import vocabulary as words
from penstock.config.check import Item
from penstock.config.forms import Problems, suggest
from penstock.config.model import DocumentMapping, FieldMap, Notice, Rule, Target
from penstock.contracts import CONTRACTS, Contract, Member
from penstock.errors import ConfigError

_TEXT_LIKE = ("text", "time", "date")


def check_target(target: Target, path: str, problems: Problems) -> None:
    """What every kind of target must fulfil; its own keys are checked by its module."""
    try:
        parts = urlsplit(target.url)
        has_user = "@" in parts.netloc
    except ValueError:
        problems.append(ConfigError(f"{path}.url", "is no address", 'write "https://host/path"'))
        return
    if has_user:
        problems.append(
            ConfigError(
                f"{path}.url", "holds credentials, and would be shown", "use user and password"
            )
        )


class MappingChecks:
    """Checks mappings against the rules and targets of the same configuration."""

    def __init__(self, rules: Sequence[Item], targets: Sequence[Item], problems: Problems) -> None:
        self._rules = {item.name: item for item in rules}
        self._targets = [item.name for item in targets]
        self._problems = problems

    def check(self, mapping: DocumentMapping, path: str) -> None:
        """One mapping; every reason is added to the problems."""
        self._check_targets(mapping, path)
        contract = CONTRACTS.get(mapping.contract)
        if contract is None:
            self._refuse(
                f"{path}.contract",
                f"{mapping.contract!r} is not known",
                suggest(mapping.contract, CONTRACTS),
            )
        if mapping.rule not in self._rules:
            fix = suggest(mapping.rule, self._rules) if self._rules else "write a [[rule]]"
            self._refuse(f"{path}.rule", f"there is no rule {mapping.rule!r}", fix)
            return
        rule = self._rules[mapping.rule].model
        if not isinstance(rule, Rule) or not self._fits(mapping, rule, path) or contract is None:
            return
        _FieldChecks(mapping, rule, contract, path, self._problems).check()

    def _check_targets(self, mapping: DocumentMapping, path: str) -> None:
        if mapping.target and mapping.targets:
            self._refuse(
                f"{path}.targets", "target and targets exclude each other", "leave one out"
            )
        if not mapping.target_names():
            self._refuse(f"{path}.target", "is required", "name the target, or targets = [...]")
        for name in mapping.target_names():
            if name not in self._targets:
                fix = suggest(name, self._targets) if self._targets else "write a [[target]]"
                self._refuse(f"{path}.target", f"there is no target {name!r}", fix)

    def _fits(self, mapping: DocumentMapping, rule: Rule, path: str) -> bool:
        possible = words.kinds_of_rule(rule.kind)
        if mapping.event not in possible:
            self._refuse(
                f"{path}.event",
                f"the {rule.kind} rule {rule.name!r} makes no {mapping.event}",
                f"it makes {', '.join(possible)}",
            )
            return False
        if rule.kind == "window" and rule.emit == "result" and mapping.event == "window.close":
            self._refuse(
                f"{path}.event",
                f"the rule {rule.name!r} emits results",
                f'write emit = "event" in {rule.name}',
            )
            return False
        if rule.kind == "state" and (key := _state_key(mapping.event, rule)):
            self._refuse(
                f"{path}.event",
                f"the rule {rule.name!r} makes no {mapping.event} as it is",
                f"write {key} in {rule.name}",
            )
            return False
        set_levels = {words.LEVELS[name] for name in rule.levels()}
        level = mapping.event.split(".")[1]
        if rule.kind == "limit" and level in words.LEVELS.values() and level not in set_levels:
            self._refuse(
                f"{path}.event",
                f"the rule {rule.name!r} has no {level} level",
                "set the level in the rule",
            )
            return False
        return True

    def _refuse(self, path: str, reason: str, fix: str = "") -> None:
        self._problems.append(ConfigError(path, reason, fix))


def _state_key(event: str, rule: Rule) -> str:
    """What a state rule must say to make this event; "" where it does."""
    if event == "state.micro":
        return "" if rule.micro == "fold" else 'micro = "fold"'
    other = {"state.end": "enter", "state.enter": "end"}.get(event)
    return 'on = "both"' if rule.on == other else ""


class _FieldChecks:
    """The members of one mapping's document against the contract and the events' paths."""

    def __init__(
        self,
        mapping: DocumentMapping,
        rule: Rule,
        contract: Contract,
        path: str,
        problems: Problems,
    ) -> None:
        self._mapping, self._rule, self._contract = mapping, rule, contract
        self._path, self._problems = path, problems

    def check(self) -> None:
        named = dict(self._mapping.fields)
        for name, spec in named.items():
            member = self._contract.members.get(name)
            if member is None:
                self._refuse(
                    name,
                    f"is no member of {self._contract.name}",
                    suggest(name, self._contract.members),
                )
            else:
                self._check_field(member, spec)
        for member in self._contract.members.values():
            if member.is_required and member.name not in named:
                self._check_default(member)
        subject = self._mapping.business_object or self._contract.subject
        if not words.has_path(subject, self._mapping.event):
            reason = f"{self._mapping.event} has no {subject}"
            self._problems.append(
                ConfigError(f"{self._path}.business_object", reason, "name another path")
            )

    def _check_default(self, member: Member) -> None:
        if not member.source:
            fix = f"write fields = {{ {member.name} = {{ const = ... }} }}, or from = ..."
            self._refuse(member.name, f"is required by {self._contract.name}", fix)
        elif not words.has_path(member.source, self._mapping.event):
            reason = f"is required, and {self._mapping.event} has no {member.source}"
            self._refuse(member.name, reason, "map it from another path")
        else:
            self._check_field(member, FieldMap(source=member.source))

    def _check_field(self, member: Member, spec: FieldMap) -> None:
        if bool(spec.source) == (spec.const is not None):
            self._refuse(member.name, "needs exactly one of from and const", "write one of them")
            return
        if spec.is_optional and member.is_required:
            self._refuse(member.name, f"is required by {self._contract.name}", "leave optional out")
        if spec.is_optional and spec.const is not None:
            self._refuse(member.name, "a constant is never absent", "leave optional out")
        if spec.source and not words.has_path(spec.source, self._mapping.event):
            self._refuse(
                member.name, f"{self._mapping.event} has no {spec.source}", "name another path"
            )
            return
        asked = spec.source in words.AGGREGATES and self._mapping.event == "window.close"
        if asked and spec.source not in self._rule.aggregates:
            self._refuse(
                member.name,
                f"the rule {self._rule.name!r} does not ask for {spec.source}",
                f'add "{spec.source}" to its aggregates',
            )
            return
        if member.kind == "quantity":
            self._check_quantity(member, spec)
            return
        for key in ("unit", "round"):
            if getattr(spec, key):
                self._refuse(
                    member.name, f"{key} is for quantities, this is a {member.kind}", "leave it out"
                )
        if spec.const is not None:
            self._check_constant(member, spec.const, "const")
            if spec.map:
                self._refuse(member.name, "a constant needs no map", "leave map out")
        elif spec.map:
            self._check_map(member, spec)
        else:
            self._check_kind(member, spec)

    def _check_quantity(self, member: Member, spec: FieldMap) -> None:
        if spec.map:
            self._refuse(member.name, "a quantity is never mapped by a table", "use unit and round")
        if spec.const is not None:
            self._check_constant_quantity(member, spec)
            return
        source_unit = self._source_unit(member, spec)
        if not source_unit:
            return
        target_unit = spec.unit or source_unit
        if not units.is_convertible(source_unit, target_unit):
            reason = f"{source_unit} of the rule {self._rule.name!r} cannot become {target_unit}"
            self._refuse(member.name, reason, "use units of one dimension")
        elif spec.round is None and not units.is_exact_in_decimals(source_unit, target_unit):
            reason = f"{source_unit} in {target_unit} has endless decimals"
            self._refuse(member.name, reason, 'declare round = "0.001"')

    def _source_unit(self, member: Member, spec: FieldMap) -> str:
        """The unit a path's values come in; "" where it is refused."""
        kind = words.EVENT_PATHS[spec.source][0]
        if kind == "square":
            self._refuse(
                member.name,
                f"{spec.source} is in the square of the rule's unit, which no code names",
                "name another path; results carry it",
            )
            return ""
        if kind not in words.QUANTITY_KINDS:
            self._refuse(
                member.name, f"{spec.source} is no quantity", "name quantity, duration or a reading"
            )
            return ""
        if kind in words.UNIT_OF_KIND:
            return words.UNIT_OF_KIND[kind]
        if not self._rule.unit:
            self._refuse(
                member.name,
                f"the rule {self._rule.name!r} has no unit",
                "write unit = ... in the rule",
            )
            return ""
        if kind in words.BY_SECOND:
            return self._unit_by_second(member, spec, words.BY_SECOND[kind])
        unit = units.find(self._rule.unit)
        if kind == "difference" and spec.unit not in ("", self._rule.unit) and unit and unit.offset:
            self._refuse(
                member.name,
                f"a difference in {self._rule.unit} is not converted: its zero would move",
                f'write unit = "{self._rule.unit}", or leave it out',
            )
            return ""
        return self._rule.unit

    def _unit_by_second(self, member: Member, spec: FieldMap, suffix: str) -> str:
        source_unit = self._rule.unit + suffix
        if not units.is_derivable(source_unit):
            what = "x second" if suffix == units.TIMES_SECOND else "/ second"
            self._refuse(
                member.name,
                f"{spec.source} is in {self._rule.unit} {what}, which no code names",
                "possible: power, flow, speed and current"
                if suffix == units.TIMES_SECOND
                else "possible: energy, volume, mass, length and charge",
            )
            return ""
        if not spec.unit:
            self._refuse(
                member.name,
                f"{spec.source} of {self._rule.unit} has no unit of its own",
                'write the document\'s: unit = "KWH"'
                if suffix == units.TIMES_SECOND
                else 'write the document\'s: unit = "G51"',
            )
            return ""
        return source_unit

    def _check_constant_quantity(self, member: Member, spec: FieldMap) -> None:
        if isinstance(spec.const, bool) or not isinstance(spec.const, (int, Decimal)):
            self._refuse(
                member.name, "a constant quantity is a number", "write const = 1 and unit = ..."
            )
        elif isinstance(spec.const, Decimal) and not spec.const.is_finite():
            self._refuse(member.name, "a constant quantity is finite", "write a plain number")
        if not spec.unit or units.find(spec.unit) is None:
            self._refuse(member.name, "a constant quantity needs its unit", 'write unit = "C62"')

    def _check_constant(self, member: Member, value: object, what: str) -> None:
        if member.kind == "boolean":
            if not isinstance(value, bool):
                self._refuse(member.name, f"{what} must be true or false")
        elif member.kind == "choice":
            if value not in member.choices:
                self._refuse(
                    member.name, f"{what} {value!r} is not one of {', '.join(member.choices)}"
                )
        elif member.kind != "text":
            self._refuse(member.name, f"a {member.kind} is never a constant", "map it with from")
        elif isinstance(value, (bool, Decimal)) or value == "":
            self._refuse(
                member.name,
                f"{what} must be a text of at least one character",
                "write it in quotes",
            )

    def _check_map(self, member: Member, spec: FieldMap) -> None:
        if words.EVENT_PATHS[spec.source][0] in ("duration", "texts"):
            self._refuse(
                member.name,
                f"{spec.source} cannot be mapped by a table",
                "name a text, a state or a flag",
            )
        for key, value in spec.map:
            self._check_constant(member, value, f"map.{key}")

    def _check_kind(self, member: Member, spec: FieldMap) -> None:
        kind = words.EVENT_PATHS[spec.source][0]
        is_state_code = spec.source == "value" and self._rule.kind == "state"
        if member.kind in ("text", "choice"):
            fits = kind in _TEXT_LIKE or is_state_code
        else:
            fits = kind == member.kind
        if not fits:
            self._refuse(
                member.name,
                f"{spec.source} is a {kind}, the document needs a {member.kind}",
                "name another path",
            )

    def _refuse(self, member: str, reason: str, fix: str = "") -> None:
        self._problems.append(ConfigError(f"{self._path}.fields.{member}", reason, fix))


def mapping_notices(
    rules: Iterable[tuple[str, Rule]], mappings: Sequence[tuple[str, DocumentMapping]]
) -> list[Notice]:
    """What is legal in rules and mappings and probably not meant."""
    found: list[Notice] = []
    by_name = {}
    mapped = {mapping.rule for _, mapping in mappings}
    for path, rule in rules:
        by_name[rule.name] = rule
        if rule.kind in ("counter", "total", "state") and rule.name not in mapped:
            found.append(
                Notice(path, "its events become no document", "write a [[mapping]] for it")
            )
    seen: dict[tuple[str, str, str, str], str] = {}
    for path, mapping in mappings:
        found.extend(_notices_of(path, mapping, by_name[mapping.rule]))
        for target in mapping.target_names():
            key = (mapping.event, mapping.rule, mapping.contract, target)
            if (
                key in seen
                and not mapping.asset
                and not mapping.contract.startswith("material_consumption/")
            ):
                text = (
                    f"makes a second {mapping.contract} of one event for {target}: see {seen[key]}"
                )
                found.append(Notice(path, text, "leave one out, or filter by asset"))
            seen.setdefault(key, path)
    return found


def _notices_of(path: str, mapping: DocumentMapping, rule: Rule) -> list[Notice]:
    found: list[Notice] = []
    if not mapping.hold_if_flags:
        found.append(
            Notice(
                f"{path}.hold_if_flags",
                "incomplete quantities are posted unseen",
                "leave it at its default",
            )
        )
    quantity = dict(mapping.fields).get("quantity")
    if (
        rule.kind == "total"
        and CONTRACTS[mapping.contract].noun != "downtime"
        and not (quantity and quantity.round)
    ):
        found.append(
            Notice(
                f"{path}.fields.quantity",
                "a total is posted with all its digits",
                'declare round = "0.001"',
            )
        )
    if not rule.asset and "*" not in rule.tag and not rule.order:
        text = (
            f"the rule {rule.name!r} has neither a '*' nor an asset, so its events carry no context"
        )
        found.append(Notice(f"{path}.rule", text, "write asset = ... in the rule"))
    return found
