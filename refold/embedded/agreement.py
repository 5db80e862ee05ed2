"""What the owner of a folder and a command that is forwarded to it must agree on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from refold.commands import COMMANDS
from refold.control.messages import Call
from refold.settings.settings import AGREED, PLANNING, Settings
from schemas.errors import UsageError


def refuse_other_settings(call: Call, settings: Settings, *, owner: str) -> None:
    """Raise UsageError if `call` was made under settings that would lead to something else than those of the owner."""
    command = COMMANDS.get(call.command)
    plans = command is not None and command.plans
    if call.settings is None:  # of a release that sent a fingerprint of AGREED only
        differing = ["settings"] if plans or call.settings_fingerprint != settings.fingerprint else []
    else:
        ours, sections = settings.agreed, (*AGREED, *(PLANNING if plans else ()))
        differing = [name for section in sections for name in _differing(section, ours, call.settings)]
    if differing:
        raise UsageError(
            f"the owner of {owner} has other settings: {', '.join(differing)}",
            op=call.command,
            hint="use the same settings, or wait until its work has ended",
        )


def _differing(name: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], section: str = "") -> Iterator[str]:
    """The dotted names below `name` whose values differ."""
    own, other = ours.get(name), theirs.get(name)
    if isinstance(own, dict) and isinstance(other, dict):
        for key in sorted({*own, *other}):
            yield from _differing(key, own, other, f"{section}{name}.")
    elif own != other:
        yield f"{section}{name}"
