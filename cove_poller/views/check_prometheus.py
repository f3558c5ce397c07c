"""The verdicts as a text file for node_exporter. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from cove_poller import __version__
from cove_poller.records.health.device_state import DeviceState, SourceState
from cove_poller.records.statuses import SEVERITY
from cove_poller.redaction import redacted
from cove_poller.text import one_line
from cove_poller.views.check_verdicts import DeviceVerdict, Verdicts

DEVICE_LABELS = ("account_id", "customer", "device", "login", "type")
DEVICE_GAUGES: Sequence[tuple[str, str, Callable[[DeviceVerdict], float | None]]] = (
    ("level", "Verdict of cove-poller check: 0 fine, 1 warning, 2 critical.", lambda one: one.level),
    ("status", "Newest status: 0 none yet, 1 success, 2 warning, 3 failed.", lambda one: SEVERITY[one.device.status]),
    ("stale", "Whether a data source had no session, or no success, for too long.", lambda one: one.device.is_stale),
    ("running", "Whether a backup runs.", lambda one: one.device.running_since is not None),
    ("linked", "Whether it belongs to a job of Backupchecks.", lambda one: one.device.is_linked),
    ("last_success_timestamp_seconds", "When the data source that waits the longest last succeeded, in Unix time.",
     lambda one: _seconds(one.device.last_success_at)),
    ("any_success_timestamp_seconds", "When a backup of any data source last succeeded, in Unix time.",
     lambda one: _seconds(one.device.any_success_at)),
    ("standing_conditions", "How many conditions stand that sync has told of.", lambda one: len(one.device.standing)),
    ("last_session_timestamp_seconds", "When a backup last ended, in Unix time.",
     lambda one: _seconds(one.device.last_session_at)),
)  # fmt: skip
SOURCE_GAUGES: Sequence[tuple[str, str, Callable[[DeviceVerdict, SourceState], float | None]]] = (
    ("stale", "Whether it has had no session, or no success, for too long.",
     lambda one, source: source in one.device.stale_sources),
    ("gap_timestamp_seconds", "Since when sessions may be missing in the record, in Unix time; absent if none is.",
     lambda _, source: _seconds(source.gap_since)),
    ("unreadable", "Whether it could not be read.", lambda _, source: source.problem is not None),
    ("last_success_timestamp_seconds", "When it last succeeded, in Unix time.",
     lambda _, source: _seconds(source.last_success_at)),
    ("last_session_timestamp_seconds", "When its last session ended, in Unix time.",
     lambda _, source: _seconds(source.last_session_at)),
)  # fmt: skip


WRITTEN: Callable[[float], str] = floatToGoString


class Families(Collector):
    """The metrics as the library collects them."""

    def __init__(self, families: Iterable[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterable[GaugeMetricFamily]:
        return self._families


def prometheus(verdicts: Verdicts) -> str:
    """Return all gauges, redacted where a text becomes a label, since the whole is too long to look through again.

    A time that never was has no sample; but it is 0 for a login that never polled, so that alerts fire.
    """
    labels = [_labels(one.device) for one in verdicts.devices]
    of_devices = _device_lines(verdicts.devices, labels)
    of_sources = _source_lines(verdicts.devices, labels)
    return "\n".join([_text([_success(1)]), *of_devices, *of_sources, _text([*_total_gauges(verdicts), _build()])])


def prometheus_unknown() -> str:
    """Return what is written when nothing can be said, so that no old value stays."""
    return _text([_success(0), _build()])


def _text(gauges: Iterable[GaugeMetricFamily]) -> str:
    return redacted(generate_latest(Families(gauges)).decode().removesuffix("\n"))


def _build() -> GaugeMetricFamily:
    build = GaugeMetricFamily("cove_poller_build_info", "The version of the poller; always 1.", labels=["version"])
    build.add_metric([__version__], 1)
    return build


def _success(value: int) -> GaugeMetricFamily:
    return GaugeMetricFamily("cove_check_success", "Whether the database could be read.", value)


def _device_lines(devices: Sequence[DeviceVerdict], labels: Sequence[str]) -> Iterator[str]:
    """Yield the gauges of devices, whose labels are given; the library is too slow for 100,000 lines and more."""
    for name, text, value_of in DEVICE_GAUGES:
        full = f"cove_device_{name}"
        yield _text([GaugeMetricFamily(full, text, labels=DEVICE_LABELS)])
        for one, of_device in zip(devices, labels, strict=True):
            if (value := value_of(one)) is not None:
                yield f"{full}{{{of_device}}} {WRITTEN(value)}"


def _source_lines(devices: Sequence[DeviceVerdict], labels: Sequence[str]) -> Iterator[str]:
    for name, text, value_of in SOURCE_GAUGES:
        full = f"cove_source_{name}"
        yield _text([GaugeMetricFamily(full, text, labels=(*DEVICE_LABELS, "source"))])
        for one, of_device in zip(devices, labels, strict=True):
            for source in one.device.sources:
                if (value := value_of(one, source)) is not None:
                    of_source = _in_quotes(source.name)
                    yield f"{full}{{{of_device},source={of_source}}} {WRITTEN(value)}"


def _labels(device: DeviceState) -> str:
    """Return the labels of a device as they stand in each of its lines."""
    named = (str(device.account_id), device.customer, device.name, device.login, device.device_type)
    return redacted(",".join(f"{name}={_in_quotes(text)}" for name, text in zip(DEVICE_LABELS, named, strict=True)))


def _in_quotes(text: str) -> str:
    """Return a label's value, on one line, with what the format wants escaped."""
    escaped = one_line(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def _total_gauges(verdicts: Verdicts) -> list[GaugeMetricFamily]:
    polls = GaugeMetricFamily(
        "cove_poll_last_success_timestamp_seconds",
        "When a poll last succeeded, in Unix time; 0 for never.",
        labels=["login"],
    )
    ended = GaugeMetricFamily(
        "cove_poll_last_exit_code", "With which exit code the newest poll ended.", labels=["login"]
    )
    written = GaugeMetricFamily(
        "cove_poll_job_runs_written", "How many job runs the newest poll wrote or changed.", labels=["login"]
    )
    sessions = GaugeMetricFamily(
        "cove_poll_sessions_written", "How many sessions the newest poll wrote that are new.", labels=["login"]
    )
    for poll in verdicts.polls:
        polls.add_metric([one_line(poll.login)], _seconds(poll.last_success_at) or 0)
    for state in verdicts.overview.polls:
        for gauge, value in (
            (ended, state.last_exit_code),
            (written, state.last_runs_written),
            (sessions, state.last_sessions_written),
        ):
            if value is not None:
                gauge.add_metric([one_line(state.login)], value)
    devices = GaugeMetricFamily("cove_devices", "How many devices are in a condition.", labels=["condition"])
    for condition, count in verdicts.overview.counts().items():
        devices.add_metric([str(condition)], count)
    return [polls, ended, written, sessions, devices]
