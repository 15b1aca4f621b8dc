"""Prefect automations of valuedrift: drift and dead flow runs, told to notification blocks of a Prefect server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import yaml

from valuedrift.errors import UserError
from valuedrift.flows.server import server
from valuedrift.words import listed

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import BlockDocument
    from prefect.events.schemas.automations import Automation

_PREFIX = "valuedrift: "
"""Automations whose names begin so are ours."""
_WHY = "automations live in one"
_PAGE = 200
_ACTION_OF_BLOCK = {"NOTIFICATION_BLOCK": "notification", "WEBHOOK_BLOCK": "webhook"}
"""What stands in the packaged file for a block's id, and the kind of block that it is."""


def install(blocks: Sequence[str], *, dead_after: int | None = None) -> tuple[list[str], list[str]]:
    """Bring the packaged automations into the Prefect server; those that are there are replaced.

    Args:
        blocks: Blocks that are told, as ``TYPE/NAME`` (``slack-webhook/team``); a name alone where only one has it.
        dead_after: Seconds without a heartbeat after which a flow run is dead; default: as the packaged file says.

    Returns:
        Names of the automations that are there now, and of those that were left out because no block takes what they tell.

    Raises:
        UserError: No server, no such block, or one that cannot be told anything.
    """
    from prefect.events.schemas.automations import AutomationCore

    with server(_WHY) as client:
        ids: dict[str, list[str]] = {kind: [] for kind in _ACTION_OF_BLOCK.values()}
        there = list(_blocks(client)) if blocks else []
        for block in dict.fromkeys(blocks):
            found = _named(block, there)
            ids[_kind(found) or ""].append(str(found.id))
        wanted = {entry["name"]: _with_blocks(entry, ids, dead_after) for entry in _packaged()}
        silent = [name for name, entry in wanted.items() if not entry["actions"]]
        for name, entry in wanted.items():
            old = client.read_automations_by_name(name)
            for surplus in old if name in silent else old[1:]:
                client.delete_automation(surplus.id)
            if name in silent:
                continue
            automation = AutomationCore.model_validate(entry)
            if old:
                client.update_automation(old[0].id, automation)
            else:
                client.create_automation(automation)
        return [name for name in wanted if name not in silent], silent


def installed() -> list[Automation]:
    """The automations of valuedrift that the Prefect server has.

    Raises:
        UserError: No server.
    """
    with server(_WHY) as client:
        return _ours(client)


def remove() -> list[str]:
    """Take the automations of valuedrift out of the Prefect server; returns their names.

    Raises:
        UserError: No server.
    """
    with server(_WHY) as client:
        ours = _ours(client)
        for automation in ours:
            client.delete_automation(automation.id)
        return [automation.name for automation in ours]


def _ours(client: SyncPrefectClient) -> list[Automation]:
    return sorted((one for one in client.read_automations() if one.name.startswith(_PREFIX)), key=lambda one: one.name)


def _packaged() -> list[dict[str, Any]]:
    text = files("valuedrift").joinpath("data", "automations.yaml").read_text(encoding="utf-8")
    automations: list[dict[str, Any]] = yaml.safe_load(text)["automations"]
    return automations


def _with_blocks(entry: Mapping[str, Any], ids: Mapping[str, Sequence[str]], dead_after: int | None) -> dict[str, Any]:
    """An automation of the file with an action for every block that fits, and the user's patience with dead runs."""
    actions = []
    for action in entry["actions"]:
        kind = _ACTION_OF_BLOCK.get(action.get("block_document_id", ""))
        actions += [action] if kind is None else [{**action, "block_document_id": id_} for id_ in ids[kind]]
    trigger = entry["trigger"]
    if dead_after is not None and trigger["posture"] == "Proactive":
        trigger = {**trigger, "within": dead_after}
    return {**entry, "trigger": trigger, "actions": actions}


def _blocks(client: SyncPrefectClient) -> Iterator[BlockDocument]:
    """All blocks of the server with a name; their secrets stay there."""
    offset = 0
    while page := client.read_block_documents(offset=offset, limit=_PAGE, include_secrets=False):
        yield from (block for block in page if block.name)
        offset += len(page)


def _kind(block: BlockDocument) -> str | None:
    """What a block is told by; None where it cannot be told anything."""
    if block.block_type_name == "Webhook":
        return "webhook"
    schema = block.block_schema
    return "notification" if schema is not None and "notify" in schema.capabilities else None


def _address(block: BlockDocument) -> str:
    slug = block.block_type.slug if block.block_type is not None else ""
    return f"{slug}/{block.name}"


def _named(wanted: str, blocks: Sequence[BlockDocument]) -> BlockDocument:
    """The block that a user means.

    Raises:
        UserError: None, several, or one that cannot be told anything.
    """
    matching = [block for block in blocks if wanted in (_address(block), block.name)]
    usable = [block for block in matching if _kind(block) is not None]
    where = f"--block {wanted}"
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise UserError("several blocks have this name", where=where, fix=f"say which: {listed([_address(block) for block in usable])}")
    may_be = [_address(block) for block in blocks if _kind(block) is not None]
    near = get_close_matches(wanted, may_be, n=1)
    instead = f"nearest: {near[0]}" if near else f"blocks there are: {listed(may_be)}" if may_be else "make one in the UI, under Blocks"
    if matching:
        raise UserError("this block sends no notifications", where=where, fix=instead)
    raise UserError("the Prefect server has no such block", where=where, fix=instead)
