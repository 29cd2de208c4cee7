"""Asks the main API what the judges need to know. It changes nothing, whatever the main API makes of it:

- an update repeats the level that was just read, under a version that cannot be the current one;
- effects are executed as dry runs only, and with a context only after a dry run that left no execution behind;
- world time is advanced for campaigns that do not exist, to the earliest time;
- events are not completed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from jobs.errors import JobError, VersionConflict
from jobs.main_api import operations
from jobs.main_api.answers import Request
from jobs.main_api.conformance import schema
from jobs.main_api.conformance.asker import Asked, Asker
from jobs.main_api.conformance.schema import Types
from jobs.main_api.heard import Heard
from jobs.main_api.listing import read_list, read_one
from jobs.main_api.model import Branch, Campaign, Kingdom, Settlement
from jobs.main_api.names import has_failed, may_be_about_names

MOST_EACH: Final = 3  #: campaigns, kingdoms and effects that are looked into
FIELDS_OF_LARGE: Final = 1001
BYTES_OF_LARGE: Final = 110_000
_BEYOND: Final = 1_000_000  #: versions that nobody reaches between a read and an update
_LARGEST_INT: Final = 2**31 - 1
_EARLIEST: Final = "0001-01-01T00:00:00.000Z"
_ADVANCE: Final = "mutation($input: AdvanceWorldTimeInput!) { advanceWorldTime(input: $input) { campaignId } }"
_SETTLEMENTS: Final = "settlementsByKingdom(kingdomId: $id{n}) {{ id version archivedAt }}"
_EVENTS: Final = "getOverdueEvents(campaignId: $id{n}) {{ id scheduledAt occurredAt }}"
_DRY_RUN: Final = "mutation($input: ExecuteEffectInput!) {{ executeEffect(input: $input) {{ success error {more} }} }}"


@dataclass(kw_only=True)
class Facts:
    """What came back. `None` means that it was not asked for, because nothing let it be."""

    is_key: bool
    heard: Heard | None = None
    campaigns: Asked = field(default_factory=Asked)
    why_no_names: str = ""  #: why a read failed that works without names
    visible: list[Campaign] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)  #: why each read fails that should not
    types: Types = field(default_factory=dict)
    why_no_schema: str = ""
    violations: dict[str, str] = field(default_factory=dict)
    reads: dict[str, Asked] = field(default_factory=dict)  #: by query, without campaigns
    events: list[Mapping[str, Any]] = field(default_factory=list)
    settlements: list[Mapping[str, Any]] = field(default_factory=list)
    settlement: Settlement | None = None
    branch_id: str = ""
    world_time: str = ""  #: of the settlement's campaign; empty if it has none
    expected_version: int = 0  #: that the update has named
    update: Asked | None = None
    advance: Asked | None = None  #: of a campaign that does not exist, whose ID is no UUID
    advance_uuid: Asked | None = None  #: the same with a UUID
    why_no_effect: str = "no active effect is known; name one with check_main_api --effect"
    effect_id: str = ""  #: the effect that was run dry
    effect: Mapping[str, Any] | None = None  #: as getEffect has it
    dry_run: Asked | None = None
    with_context: Asked | None = None
    complex: Asked | None = None
    large: Asked | None = None

    @property
    def are_campaigns_readable(self) -> bool:
        return isinstance(self.campaigns.answer.data.get("campaigns"), list)

    @property
    def raw_campaigns(self) -> list[Mapping[str, Any]]:
        return _records(self.campaigns.answer.data.get("campaigns"))

    @property
    def is_conflict(self) -> bool:
        """Whether the update was refused for its version: clearly, or in words that name the version."""
        asked = self.update
        if not self.settlement or not asked or not asked.error:
            return False
        names_it = asked.kind is None and asked.error.mentions(str(self.expected_version))
        return asked.kind is VersionConflict or names_it

    @property
    def mutations(self) -> dict[str, Asked]:
        """Each mutation that was tried."""
        tried = {"updateSettlement": self.update, "advanceWorldTime": self.advance_uuid, "executeEffect": self.dry_run}
        return {name: asked for name, asked in tried.items() if asked}


def gather(asker: Asker, *, is_key: bool, effect_ids: Iterable[str] = (), heard: Heard | None = None) -> Facts:
    """Ask, about twenty times. `effect_ids` are effects that may exist. Raises Unreachable."""
    facts = Facts(is_key=is_key, heard=heard)
    _read_campaigns(asker, facts)
    if not facts.are_campaigns_readable:
        return facts
    _read_schema(asker, facts)
    _read_world(asker, facts)
    _try_update(asker, facts)
    for name, campaign_id in (("advance", f"no-campaign-{uuid4().hex}"), ("advance_uuid", str(uuid4()))):
        variables = {"input": {"campaignId": campaign_id, "to": _EARLIEST}}
        setattr(facts, name, asker.ask(_ADVANCE, variables, request=Request.UPDATE))
    _try_effects(asker, facts, list(effect_ids)[:MOST_EACH])
    campaign_id = facts.visible[0].id if facts.visible else "none"
    fields = " ".join(f"a{n}: id" for n in range(FIELDS_OF_LARGE))  # of one object: one look-up for the main API
    facts.complex = asker.ask(f"query($id: ID!) {{ campaign(id: $id) {{ {fields} }} }}", {"id": campaign_id})
    facts.large = asker.ask("{ __typename } #" + "." * BYTES_OF_LARGE)
    return facts


def _ask_as_client(asker: Asker, facts: Facts, name: str, variables: Mapping[str, Any] | None = None) -> Asked:
    """Ask for names, and again without them where those may be why it fails."""
    named = not facts.why_no_names
    asked = asker.ask(operations.text(name, named=named), variables)
    if not named or not may_be_about_names(asked.answer):
        return asked
    without = asker.ask(operations.text(name, named=False), variables)
    if without.is_answered and not has_failed(without.answer):
        facts.why_no_names = asked.why(name)
    return without


def _read_campaigns(asker: Asker, facts: Facts) -> None:
    facts.campaigns = _ask_as_client(asker, facts, "campaigns")
    found = read_list("campaigns", "campaigns", facts.campaigns.answer, Campaign)
    if not isinstance(found, JobError):
        facts.unreadable += [str(one.error) for one in found.unreadable[:1]]
        facts.visible = sorted(found, key=lambda campaign: not campaign.is_active)


def _read_schema(asker: Asker, facts: Facts) -> None:
    asked = asker.ask(schema.introspection())
    facts.why_no_schema = schema.why_missing(asked)
    facts.types = schema.types_of(asked.answer.data)
    if facts.why_no_schema:
        return
    try:
        facts.violations = schema.violations(asked.answer.data)
    except Exception as error:  # noqa: BLE001 - a schema that the parser cannot read raises whatever it meets
        facts.why_no_schema = f"the schema cannot be read: {error}"


def _read_world(asker: Asker, facts: Facts) -> None:
    """Look for the main branch and a settlement of one campaign, and for overdue events."""
    campaign_ids = [campaign.id for campaign in facts.visible[:MOST_EACH]]
    branches = _read_each(asker, facts, "branches", "campaignId", campaign_ids, Branch)
    kingdoms = _read_each(asker, facts, "kingdomsByCampaign", "campaignId", campaign_ids, Kingdom)
    facts.events = _records_of_each(asker, facts, "getOverdueEvents", _EVENTS, campaign_ids)
    main = {branch.campaign_id: branch.id for branch in branches if branch.parent_id is None}
    usable = [kingdom for kingdom in kingdoms if kingdom.campaign_id in main][:MOST_EACH]
    kingdom_ids = [kingdom.id for kingdom in usable]
    facts.settlements = _records_of_each(asker, facts, "settlementsByKingdom", _SETTLEMENTS, kingdom_ids)
    facts.branch_id = next(iter(main.values()), "")
    settlement_id = next((one.get("id") for one in facts.settlements if not one.get("archivedAt")), None)
    if not isinstance(settlement_id, str):
        return
    asked = facts.reads["settlement"] = _ask_as_client(asker, facts, "settlement", {"id": settlement_id})
    found = read_one("settlement", "settlement", asked.answer, Settlement, entity_id=settlement_id)
    if isinstance(found, Settlement):
        campaign_id = next((kingdom.campaign_id for kingdom in usable if kingdom.id == found.kingdom_id), "")
        facts.settlement, facts.branch_id = found, main.get(campaign_id, "")
        times = {campaign.id: campaign.current_world_time for campaign in facts.visible}
        facts.world_time = times.get(campaign_id) or ""
    elif isinstance(found, JobError) and asked.is_answered and not asked.error:
        facts.unreadable.append(str(found))


def _try_update(asker: Asker, facts: Facts) -> None:
    """An update that must be refused: of a settlement under a wrong version, else of one that does not exist."""
    known = facts.settlement if facts.branch_id else None
    if known:
        facts.expected_version = _other_than(known.version)
        given = {"branchId": facts.branch_id, "expectedVersion": facts.expected_version, "level": known.level}
        dated = {"worldTime": facts.world_time} if facts.world_time else {}
        variables: dict[str, Any] = {"id": known.id, "input": {**given, **dated}}
    else:
        given = {"branchId": facts.branch_id or str(uuid4()), "expectedVersion": 1, "worldTime": _EARLIEST}
        variables = {"id": f"no-settlement-{uuid4().hex}", "input": given}
    facts.settlement = known
    facts.update = asker.ask(operations.text("updateSettlement"), variables, request=Request.UPDATE)


def _try_effects(asker: Asker, facts: Facts, effect_ids: list[str]) -> None:
    if not effect_ids:
        return
    asked = asker.ask(operations.text("getEffect", len(effect_ids)), _variables("id", effect_ids))
    facts.reads["getEffect"] = asked
    if not asked.is_answered:
        facts.why_no_effect = asked.why("getEffect")
    aliases = ["getEffect"] if len(effect_ids) == 1 else [f"a{n}" for n in range(len(effect_ids))]
    found = {one: asked.answer.data.get(alias) for one, alias in zip(effect_ids, aliases, strict=True)}
    active = [one for one, effect in found.items() if isinstance(effect, Mapping) and effect.get("isActive") is True]
    unread = [one for one, effect in found.items() if effect is None and asked.is_answered]
    has_patch = "patchApplied" in facts.types.get("EffectExecutionResult", {})
    document = _DRY_RUN.format(more="executionId affectedFields" + " patchApplied" * has_patch)
    for effect_id in [*active, *unread]:
        variables: dict[str, Any] = {"effectId": effect_id, "dryRun": True}
        facts.effect_id, facts.effect = effect_id, found[effect_id]
        facts.dry_run = asker.ask(document, {"input": variables}, request=Request.UPDATE)
        result = result_of(facts.dry_run)
        if result.get("success") is True:
            if not result.get("executionId"):
                variables["context"] = {}
                facts.with_context = asker.ask(document, {"input": variables}, request=Request.UPDATE)
            return


def result_of(run: Asked | None) -> Mapping[str, Any]:
    """The result of a dry run; empty if there is none."""
    found = run.answer.data.get("executeEffect") if run else None
    return found if isinstance(found, Mapping) else {}


def _read_each(asker: Asker, facts: Facts, name: str, variable: str, ids: list[str], kind: type[Any]) -> list[Any]:
    """Read the list of each ID as the client does."""
    if not ids:
        return []
    asked = facts.reads[name] = asker.ask(operations.text(name, len(ids)), _variables(variable, ids))
    found: list[Any] = []
    for alias in [name] if len(ids) == 1 else [f"a{n}" for n in range(len(ids))]:
        listed = read_list(name, alias, asked.answer, kind)
        if not isinstance(listed, JobError):
            found += listed
            facts.unreadable += [str(one.error) for one in listed.unreadable[:1]]
        elif asked.is_answered and not has_failed(asked.answer):
            facts.unreadable.append(str(listed))
    return found


def _records_of_each(asker: Asker, facts: Facts, name: str, text: str, ids: list[str]) -> list[Mapping[str, Any]]:
    """Read few fields of the list of each ID: the lists may be long."""
    if not ids:
        return []
    declared = ", ".join(f"$id{n}: ID!" for n in range(len(ids)))
    fields = " ".join(f"a{n}: {text.format(n=n)}" for n in range(len(ids)))
    variables = {f"id{n}": one for n, one in enumerate(ids)}
    asked = facts.reads[name] = asker.ask(f"query({declared}) {{ {fields} }}", variables)
    return [record for value in asked.answer.data.values() for record in _records(value)]


def _variables(name: str, ids: Sequence[str]) -> dict[str, str]:
    return {name: ids[0]} if len(ids) == 1 else {f"{name}{n}": one for n, one in enumerate(ids)}


def _records(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _other_than(version: int) -> int:
    """A version that is not, and does not soon become, the current one.

    >>> _other_than(7), _other_than(2**31 - 1)
    (1000007, 2146483647)
    """
    beyond = version + _BEYOND
    return beyond if beyond <= _LARGEST_INT else version - _BEYOND
