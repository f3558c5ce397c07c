"""The report as one HTML page that needs nothing else: its style and script are in it, and nothing may be loaded."""

import hashlib
import json
import zlib
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cove_poller.views.report import Report
from cove_poller.views.report_plot import bar_runs

ELEMENTS = {"f": "b", "w": "u", "r": "i", "n": "s"}
"""The shortest names there are, one for each kind of day."""


def render(report: Report) -> str:
    """The page. What is not ours to trust, names above all, is escaped; only our own style and script may run."""
    style, script = _own("report.css"), _own("report.js")
    template = _environment().get_template("report.html.j2")
    return template.render(
        report=report,
        details=packed_details(report.details),
        days=cache(days),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
    )


def packed_details(details: Mapping[str, Any]) -> str:
    """Return what only the script reads as compressed JSON in base64, a sixth of its size. Browsers have it undone."""
    text = json.dumps(details, separators=(",", ":"))
    return b64encode(zlib.compress(text.encode())).decode()


def days(letters: str) -> Markup:
    """Return a colour bar as its letters; days that were no success are in an element that the style sheet draws."""
    runs = (
        f"<{ELEMENTS[letter]}>{run}</{ELEMENTS[letter]}>" if letter != "s" else run for letter, run in bar_runs(letters)
    )
    return Markup("".join(runs))  # noqa: S704, made of letters of our own


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("cove_poller"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _own(name: str) -> Markup:
    text = (resources.files("cove_poller") / "templates" / name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704, a file of this package


def _hash(text: str) -> str:
    """What a Content-Security-Policy calls exactly this text."""
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()
