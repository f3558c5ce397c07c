"""Programs that a sync is compared with, each a process of its own: `python -m tests.bench.peers WAY FILE`.

`fetch` reads the pages and parses them. `floor` also writes the rows of FILE, which are those that a sync wrote, by one
statement a page and table. `orm` writes them one by one, each looked up before. `dlt` leaves them to dlt's merge.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

KEYS = {"cove_devices": "account_id", "cove_sessions": "id", "job_runs": "id"}


def pages(content: dict[str, Any]) -> Iterator[list[Any]]:
    """Log in, and yield the pages of the listing, parsed: those that the sync asked for."""
    import requests

    with requests.Session() as session:

        def call(method: str, visa: str | None, **parameters: Any) -> Any:
            message = {"jsonrpc": "2.0", "id": "1", "method": method, "params": parameters, "visa": visa}
            return json.loads(session.post(content["url"], json=message, timeout=600).content)

        visa = call("Login", None, **content["login"])["visa"]
        for query in content["queries"]:
            answer = call("EnumerateAccountStatistics", visa, query=query)
            visa = answer["visa"]
            yield answer["result"]["result"]


def shares(content: dict[str, Any]) -> Iterator[dict[str, list[Any]]]:
    """Yield the rows of each table in as many shares as there are pages."""
    found, count = content["rows"], len(content["queries"])
    for page in range(count):
        yield {
            table: rows[page * len(rows) // count : (page + 1) * len(rows) // count] for table, rows in found.items()
        }


def fetch(content: dict[str, Any]) -> int:
    """Read all pages. Return how many there are."""
    return sum(1 for _ in pages(content))


def floor(content: dict[str, Any]) -> None:
    """Write each page's share by one statement a table."""
    import psycopg2
    from psycopg2.extensions import register_adapter
    from psycopg2.extras import Json, execute_values

    register_adapter(dict, Json)
    found = pages(content)
    with psycopg2.connect(content["database"]) as connection:
        for share in shares(content):
            next(found, None)
            with connection.cursor() as cursor:
                for table, rows in share.items():
                    names, key = content["columns"][table], KEYS[table]
                    updates = ", ".join(f"{name} = excluded.{name}" for name in names if name != key)
                    statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES %s ON CONFLICT ({key}) DO UPDATE SET"
                    if rows:
                        execute_values(cursor, f"{statement} {updates}", rows, page_size=len(rows))
            connection.commit()


def orm(content: dict[str, Any]) -> None:
    """Write each row by itself, looked up before."""
    import sqlalchemy as sa
    from sqlalchemy.ext.automap import automap_base
    from sqlalchemy.orm import Session

    engine = sa.create_engine(content["database"].replace("postgresql:", "postgresql+psycopg2:", 1))
    base = automap_base()
    base.prepare(engine)
    found = pages(content)
    with Session(engine) as session:
        for share in shares(content):
            next(found, None)
            for table, rows in share.items():
                model, names = base.classes[table], content["columns"][table]
                for row in rows:
                    values = dict(zip(names, row, strict=True))
                    known = session.get(model, values[KEYS[table]])
                    if known is None:
                        session.add(model(**values))
                    else:
                        for name, value in values.items():
                            setattr(known, name, value)
            session.commit()


def load_with_dlt(content: dict[str, Any]) -> None:
    """Leave each page's share to dlt's merge, in a schema of its own."""
    import dlt  # type: ignore[import-not-found]  # a peer, which has a virtual environment of its own

    def resource(table: str) -> Any:
        names = content["columns"][table]

        def rows() -> Iterator[Any]:
            for share in shares(content):
                yield [dict(zip(names, row, strict=True)) for row in share[table]]

        return dlt.resource(rows, name=table, primary_key=KEYS[table], write_disposition="merge", max_table_nesting=0)

    fetch(content)
    url = urlsplit(content["database"])
    whole = url._replace(netloc=f"{url.username or 'postgres'}:{url.password or 'none'}@{url.hostname or 'localhost'}")
    destination = dlt.destinations.postgres(whole.geturl())
    place = {"pipelines_dir": content["directory"], "dataset_name": "dlt_bench"}
    pipeline = dlt.pipeline("bench", destination=destination, **place)
    pipeline.run([resource(table) for table in KEYS])


def main() -> None:
    way, file = sys.argv[1:]
    ways = {"fetch": fetch, "floor": floor, "orm": orm, "dlt": load_with_dlt}
    ways[way](json.loads(Path(file).read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
