"""The report as one HTML page that needs nothing else: its style and script are in it, and nothing may be loaded."""

import hashlib
from base64 import b64encode
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cove_poller.views.report import Report


def render(report: Report) -> str:
    """The page. What is not ours to trust, names above all, is escaped; only our own style and script may run."""
    style, script = _own("report.css"), _own("report.js")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(report=report, style=style, style_hash=_hash(style), script=script, script_hash=_hash(script))
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cove_poller"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return environment


def _own(name: str) -> Markup:
    text = (resources.files("cove_poller") / "templates" / name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704, a file of this package


def _hash(text: str) -> str:
    """What a Content-Security-Policy calls exactly this text."""
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()
