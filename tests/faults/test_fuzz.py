"""Damaged answers and configurations, made up: none ends in a bug, and no run is healthier for what is lost."""

import gzip
import sqlite3
import tomllib
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import tomli_w
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from cove_poller.config.settings import Config
from tests.faults.meddling import meddle, sends
from tests.faults.scene import Ran, Scene
from tests.faults.test_fault_matrix import scene, template
from tests.world.made_up import dear

__all__ = ["scene", "template"]
GRAVITY = {"Success": 0, "Warning": 1, "Failed": 2}
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", "1e999", "-1", "\u200b", [], {}, ["2"], "9" * 400, "nan", -(2**70), 0.5]
)
ONE_SCENE = [HealthCheck.function_scoped_fixture]
DAMAGE = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 200), st.just("drop") | JUNK), min_size=1, max_size=4)


def damaged(rows: list[dict[str, Any]], damage: list[tuple[int, int, Any]]) -> list[dict[str, Any]]:
    """The rows of a listing, of which some values are lost or are nonsense."""
    for row, place, value in damage:
        values = rows[row % len(rows)]["Settings"] if rows else []
        if values and value == "drop":
            del values[place % len(values)]
        elif values:
            at = place % len(values)
            values[at] = dict.fromkeys(values[at], value)
    return rows


def statuses(scene: Scene) -> dict[str, int]:
    """How grave the newest run of each device is."""
    with closing(sqlite3.connect(scene.database)) as connection:
        found = connection.execute("SELECT external_id, status FROM job_runs ORDER BY run_at").fetchall()
    return {account: GRAVITY[status] for account, status in found}


def run_with(scene: Scene, damage: list[tuple[int, int, Any]]) -> Ran:
    """A sync into an empty database, of answers that are damaged so."""
    scene.database.write_bytes(scene.template.read_bytes())
    scene.cove.faults.edit_listing = lambda _, result: {**result, "result": damaged(result["result"], damage)}
    return scene.run()


@dear(16, suppress_health_check=ONE_SCENE)
@given(damage=DAMAGE)
@example(damage=[])
def test_whatever_is_damaged_in_a_listing_no_run_is_healthier(scene: Scene, damage: list[tuple[int, int, Any]]) -> None:
    for device, status in zip(scene.cove.fleet.devices, (2, 8, 5), strict=True):
        for sessions in device.sessions.values():
            sessions[-1] = replace(sessions[-1], status=status)
        device.totals.clear()
    truth = {"1": 2, "2": 1, "3": 0}
    ran = run_with(scene, damage)
    assert ran.error is None, ran
    assert ran.code in {0, 3, 12, 13}, ran
    found = statuses(scene)
    assert damage or found == truth
    assert {account for account, gravity in found.items() if gravity < truth[account]} == set(), (damage, ran)


BYTES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 9), st.binary(max_size=6)), min_size=1, max_size=5)
"""Where something is cut out of an answer, how much, and what is put in its place."""

ENDS = {0, 3, 11, 12, 13, 14}


@dear(8, suppress_health_check=ONE_SCENE)
@given(number=st.integers(1, 5), damage=BYTES, is_zipped=st.booleans())
@example(number=1, damage=[(0, 0, b"\xff")], is_zipped=False)
@example(number=2, damage=[(0, 9, b"")], is_zipped=True)
def test_whatever_bytes_of_an_answer_are_damaged_it_ends_in_plain_words_and_doubles_nothing(
    scene: Scene, number: int, damage: list[tuple[int, int, bytes]], is_zipped: bool
) -> None:
    def meddling(handler: BaseHTTPRequestHandler, right: bytes) -> None:
        body = gzip.compress(right) if is_zipped else right
        for place, length, instead in damage:
            at = place % (len(body) + 1)
            body = body[:at] + instead + body[at + length :]
        send = sends(body, Content_Encoding="gzip") if is_zipped else sends(body)
        send(handler, right)

    scene.database.write_bytes(scene.template.read_bytes())
    meddle(scene.cove, number, meddling, once=True)
    ran = scene.run()
    assert ran.error is None, ran
    assert ran.code in ENDS, ran
    assert "Traceback" not in ran.said
    scene.cove.faults.meddle = None
    again = scene.run()
    assert (again.error, again.code in {0, 3}) == (None, True), (ran, again)
    with closing(sqlite3.connect(scene.database)) as connection:
        found = connection.execute("SELECT external_id, run_at, count(*) FROM job_runs GROUP BY 1, 2").fetchall()
    assert {count for _, _, count in found} == {1}


ODD: st.SearchStrategy[Any] = st.recursive(
    st.none().map(lambda _: "") | st.booleans() | st.integers(-5, 2**70) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@dear(60, suppress_health_check=ONE_SCENE)
@given(section=st.sampled_from(sorted(Config.model_fields)), odd=ODD, data=st.data())
def test_whatever_a_key_of_the_configuration_is_set_to_it_is_taken_or_named(
    scene: Scene, section: str, odd: Any, data: st.DataObject
) -> None:
    fields = getattr(Config.model_fields[section].annotation, "model_fields", {})
    key = data.draw(st.sampled_from(sorted(fields)) if fields else st.text(max_size=5))
    scene.configure()
    content = tomllib.loads(scene.config.read_text(encoding="utf-8"))
    content[section] = data.draw(st.sampled_from([odd, {**content.get(section, {}), key: odd}]))
    scene.config.write_text(tomli_w.dumps(content), encoding="utf-8")
    ran = scene.run("config", "check")
    assert ran.error is None, ran
    assert ran.code in {0, 10}, ran
    assert ran.code == 0 or section in ran.said or key in ran.said, ran
