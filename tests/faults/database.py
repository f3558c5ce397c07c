"""The faults of the database: SQLite's file, and PostgreSQL's answers."""

import sqlite3
from contextlib import closing

import psycopg2
import sqlalchemy as sa

from tests.faults.scene import Ran, Scene, fault_of
from tests.faults.table import Fault

FAULTS: list[Fault] = []
fault = fault_of(FAULTS, "database")


@fault("SQLite: a file that is something else", 14, 0, 0, "is not a database")
def _(scene: Scene) -> Ran:
    scene.database.write_text("this is not a database, but long enough to look like a file of one" * 9)
    return scene.run()


@fault("SQLite: a file that is damaged", 14, 0, 0, "malformed")
def _(scene: Scene) -> Ran:
    content = scene.database.read_bytes()
    scene.database.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    return scene.run()


@fault("SQLite: a folder in the file's place", 14, 0, 4, "unable to open database file")
def _(scene: Scene) -> Ran:
    scene.database.unlink()
    scene.database.mkdir()
    return scene.run()


@fault("SQLite: another program writes and does not end", 14, 0, 0, "database is locked", heals=True)
def _(scene: Scene) -> Ran:
    with closing(sqlite3.connect(scene.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        return scene.run()


@fault("SQLite: a table of the poller is gone", 0, 3, 4)
def _(scene: Scene) -> Ran:
    scene.execute("DROP TABLE cove_sessions")
    return scene.run()


@fault("SQLite: a column that is gone", 14, 0, 0, "job_runs.status")
def _(scene: Scene) -> Ran:
    scene.execute("ALTER TABLE job_runs DROP COLUMN status")
    return scene.run()


@fault("PostgreSQL: nobody listens", 14, 0, 4, "is safe and will be recorded")
def _(scene: Scene) -> Ran:
    scene.url = "postgresql://nobody@127.0.0.1:1/nothing"
    scene.configure()
    return scene.run()


@fault("PostgreSQL: its name is not known", 14, 0, 4, "is safe and will be recorded")
def _(scene: Scene) -> Ran:
    scene.url = "postgresql://nobody@nowhere.invalid/nothing"
    scene.configure()
    return scene.run()


@fault("PostgreSQL: no such database", 14, 0, 4, "does not exist")
def _(scene: Scene) -> Ran:
    scene.url = sa.make_url(scene.make_postgres()).set(database="nothing").render_as_string(hide_password=False)
    scene.configure()
    return scene.run()


@fault("PostgreSQL: not prepared", 14, 0, 0, "run: cove-poller migrate")
def _(scene: Scene) -> Ran:
    scene.url = scene.make_postgres()
    scene.configure()
    return scene.run()


@fault("PostgreSQL: a table is held", 14, 0, None, '(application "nightly_dump"', heals=True)
def _(scene: Scene) -> Ran:
    scene.use_postgres()
    with closing(psycopg2.connect(scene.url.replace("+psycopg2", ""), application_name="nightly_dump")) as other:
        other.cursor().execute("LOCK TABLE job_runs IN SHARE MODE")
        return scene.run()


@fault("PostgreSQL: a trigger swallows runs", 14, 0, None, "tidy_runs")
def _(scene: Scene) -> Ran:
    scene.use_postgres()
    scene.execute(
        "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
        "CREATE TRIGGER tidy_runs BEFORE INSERT ON job_runs FOR EACH ROW EXECUTE FUNCTION cut()",
    )
    return scene.run()


@fault("PostgreSQL: a sequence is behind", 14, 0, None, "SELECT setval")
def _(scene: Scene) -> Ran:
    scene.use_postgres()
    scene.execute("INSERT INTO customers (id, name) SELECT n, 'restored ' || n FROM generate_series(1, 9) AS n")
    return scene.run()


@fault("PostgreSQL: a status does not fit its column", 14, 0, 0, "does not fit")
def _(scene: Scene) -> Ran:
    scene.use_postgres()
    scene.execute("ALTER TABLE job_runs ALTER status TYPE varchar(6)")
    return scene.run()


@fault("PostgreSQL: a view in a table's place", 14, 0, 0, "job_runs is a view")
def _(scene: Scene) -> Ran:
    scene.use_postgres()
    scene.execute("ALTER TABLE job_runs RENAME TO runs", "CREATE VIEW job_runs AS SELECT * FROM runs")
    return scene.run()


@fault("PostgreSQL: a unique index is gone", 14, 0, 0, "run: cove-poller migrate")
def _(scene: Scene) -> Ran:
    scene.use_postgres()
    scene.execute("DROP INDEX ux_job_runs_cove_key")
    return scene.run()
