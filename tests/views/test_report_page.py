"""The report as HTML text: complete, harmless, and in need of nothing. Pure."""

import hashlib
import json
import random
import re
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cove_poller.records.health.device_state import DeviceState
from cove_poller.views.report import make_report
from cove_poller.views.report_page import render
from tests.world.states import CONFIG, POLL, ago, overview, plotted, source, state

HOSTILE = "</title></script><svg onload=alert(3)> {{ 7*7 }} \u202eevil"


def page(devices: Sequence[DeviceState] = (), **more: Any) -> str:
    return render(make_report(overview(*devices, **more), [], CONFIG))


def test_the_page_names_every_device_and_needs_nothing_from_anywhere() -> None:
    text = page([state(account_id=number, computer_name=f"SRV{number}") for number in range(9)])
    assert re.findall(r"<th>(.*?)<", text) == [f"SRV{number}" for number in range(9)]
    assert not re.findall(r"""(?:src|href|action)\s*=|url\(|@import|<link|<iframe""", text)
    assert set(re.findall(r"https?://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}
    assert "<title>Backups, 2026-03-10 07:55 UTC</title>" in text


def test_only_the_pages_own_style_and_script_may_run() -> None:
    text = page([state()])
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    ours = (re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL) for tag in ("style", "script"))
    style, script = (b64encode(hashlib.sha256(one.encode()).digest()).decode() for (one,) in ours)
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}';"
        " base-uri 'none'; form-action 'none'"
    )


def test_a_hostile_name_is_escaped_wherever_it_stands() -> None:
    failed = replace(POLL, last_outcome="error", last_error=HOSTILE)
    text = page([state(customer=HOSTILE, computer_name=HOSTILE, device_name=HOSTILE)], polls=[failed])
    assert "<svg onload" not in text
    assert text.count("&lt;svg onload=alert(3)&gt; {{ 7*7 }}") == 3  # customer, name, notice
    (details,) = re.findall(r'<script id="details" [^>]*>([A-Za-z0-9+/=]+)</script>', text)  # nothing can end it
    facts = json.loads(zlib.decompress(b64decode(details)))["devices"][0][4]
    assert facts[0] == f"{HOSTILE}, account 1, login main."


def test_a_notice_is_an_alert_only_where_it_is_loud() -> None:
    loud, quiet = ([replace(POLL, **one)] for one in ({"last_success_at": ago(9)}, {"last_outcome": "partial"}))
    assert '<p class="notice loud" role=alert>As of 2026-03-09 23:00Z: login main: last' in page(polls=loud)
    assert '<p class="notice">As of 2026-03-10 07:55Z: login main: last' in page(polls=quiet)


def fleet(devices: int) -> str:
    """The page of devices with two sources, each with a session a night at another minute, of which few go wrong."""
    chance, states, sessions = random.Random(1), [], []
    for number in range(devices):
        bars = ["".join(chance.choices("528", [95, 2, 3], k=28)) for _ in range(2)]
        sources = tuple(source(source=code, color_bar=bar) for code, bar in zip(("D01", "D02"), bars, strict=True))
        name, customer = f"SRV{number}", f"Example Customer {number // 40}"
        named = {"account_id": number, "computer_name": name, "device_name": f"srv{number}_x", "customer": customer}
        states.append(state(**named, job_id=number, color_bar=bars[0], sources=sources))
        for one in sources:
            ends = [(ago(24 * night + chance.random()), "success") for night in range(28)]
            sessions.append(plotted(number, one.source, ends))
    return render(make_report(overview(*states), sessions, CONFIG))


def test_a_page_of_many_devices_stays_small(measured: Callable[[str], None]) -> None:
    each = (len(fleet(600).encode()) - len(fleet(100).encode())) / 500
    measured(f"report: {each:.0f} bytes for each further device with two sources and 56 sessions")
    assert each < 330


def test_before_any_device_is_known_the_page_says_what_to_do() -> None:
    assert "No device is known yet. Run <code>cove-poller sync</code> first." in page()
