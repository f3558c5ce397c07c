"""The verdicts as a text file for node_exporter. Pure. The format is Prometheus' "Text-based format"."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from cove_poller.records.overview import DeviceState
from cove_poller.records.statuses import SEVERITY
from cove_poller.text import one_line
from cove_poller.views.check_verdicts import Verdicts

ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
Labels = Mapping[str, str]


@dataclass
class Gauge:
    """A metric with all its samples; one without any is left out."""

    name: str
    help: str
    samples: list[tuple[Labels, float]] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        if self.samples:
            yield f"# HELP {self.name} {self.help}"
            yield f"# TYPE {self.name} gauge"
            yield from (f"{self.name}{_labels(labels)} {_number(value)}" for labels, value in self.samples)


def prometheus(verdicts: Verdicts) -> str:
    """All gauges. A time that never was has no sample, but for a login that never polled: 0, so that alerts fire."""
    return _text([_success(1), *_device_gauges(verdicts), *_total_gauges(verdicts)])


def prometheus_unknown() -> str:
    """What is written when nothing can be said, so that no old value stays."""
    return _text([_success(0)])


def _success(value: int) -> Gauge:
    return Gauge("cove_check_success", "Whether the database could be read.", [({}, value)])


def _device_gauges(verdicts: Verdicts) -> list[Gauge]:
    level = Gauge("cove_device_level", "Verdict of cove-poller check: 0 fine, 1 warning, 2 critical.")
    status = Gauge("cove_device_status", "Newest status: 0 none yet, 1 success, 2 warning, 3 failed.")
    success = Gauge("cove_device_last_success_timestamp_seconds", "When a backup last succeeded, in Unix time.")
    session = Gauge("cove_device_last_session_timestamp_seconds", "When a backup last ended, in Unix time.")
    stale = Gauge("cove_device_stale", "Whether it has been without a success for longer than it may be.")
    running = Gauge("cove_device_running", "Whether a backup runs.")
    linked = Gauge("cove_device_linked", "Whether it belongs to a job of Backupchecks.")
    for verdict in verdicts.devices:
        device, labels = verdict.device, _device_labels(verdict.device)
        level.samples.append((labels, verdict.level))
        status.samples.append((labels, SEVERITY[device.status]))
        stale.samples.append((labels, device.is_stale))
        running.samples.append((labels, device.running_since is not None))
        linked.samples.append((labels, device.is_linked))
        success.samples += _times(labels, device.last_success_at)
        session.samples += _times(labels, device.last_session_at)
    return [level, status, success, session, stale, running, linked]


def _total_gauges(verdicts: Verdicts) -> list[Gauge]:
    polls = Gauge("cove_poll_last_success_timestamp_seconds", "When a poll last succeeded, in Unix time; 0 for never.")
    for poll in verdicts.polls:
        polls.samples.append(({"login": poll.login}, poll.last_success_at.timestamp() if poll.last_success_at else 0))
    devices = Gauge("cove_devices", "How many devices are in a condition.")
    devices.samples += [({"condition": str(one)}, count) for one, count in verdicts.overview.counts().items()]
    return [polls, devices]


def _device_labels(device: DeviceState) -> Labels:
    return {
        "customer": device.customer,
        "device": device.name,
        "type": device.device_type,
        "account_id": str(device.account_id),
        "login": device.login,
    }


def _times(labels: Labels, at: datetime | None) -> list[tuple[Labels, float]]:
    return [(labels, at.timestamp())] if at else []


def _labels(labels: Labels) -> str:
    pairs = (f'{name}="{one_line(value).translate(ESCAPES)}"' for name, value in labels.items())
    return f"{{{','.join(pairs)}}}" if labels else ""


def _number(value: float) -> str:
    return str(int(value))


def _text(gauges: Iterable[Gauge]) -> str:
    return "\n".join(line for gauge in gauges for line in gauge.lines())
