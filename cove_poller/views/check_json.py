"""The verdicts as one JSON object, for programs. Pure."""

from datetime import datetime
from typing import Any

from cove_poller.commands.results import envelope, in_json
from cove_poller.views.check_verdicts import DeviceVerdict, Level, Verdicts, poll_level
from cove_poller.views.status_json import device_json


def check_json(verdicts: Verdicts, exit_code: int) -> dict[str, Any]:
    """Return all verdicts, the gravest first, beside what is known of each device. Times are UTC."""
    now = verdicts.overview.as_of
    polls = [
        {
            "login": one.login,
            "level": _word(poll_level(one)),
            "text": one.text,
            "last_success_at": in_json(one.last_success_at) if one.last_success_at else None,
        }
        for one in verdicts.polls
    ]
    devices = [_device(one) for one in verdicts.devices]
    told = {"level": _word(verdicts.level), "polls": polls, "devices": devices, "error": None}
    return {**envelope("check", exit_code, now, now), "outcome": "ok", **told}


def check_json_unknown(message: str, now: datetime) -> dict[str, Any]:
    """Return what is said when nothing can be said."""
    told = {"level": _word(Level.UNKNOWN), "polls": [], "devices": [], "error": {"code": "unknown", "message": message}}
    return {**envelope("check", int(Level.UNKNOWN), now, now), "outcome": "error", **told}


def _device(one: DeviceVerdict) -> dict[str, Any]:
    return {"level": _word(one.level), "reason": one.reason, **device_json(one.device)}


def _word(level: Level) -> str:
    return level.name.lower()
