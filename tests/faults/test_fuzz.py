"""Damaged answers, made up: whatever is lost of a listing, no run is healthier for it, and nothing ends in a bug."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.faults.scene import Ran, Scene
from tests.faults.test_fault_matrix import scene, template

__all__ = ["scene", "template"]
GRAVITY = {"Success": 0, "Warning": 1, "Failed": 2}
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", "1e999", "-1", "\u200b", [], {}, ["2"], "9" * 400, "nan", -(2**70), 0.5]
)
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


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
