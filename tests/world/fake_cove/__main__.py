"""Run a fake Cove until Ctrl-C, whose time goes on like ours, and say how to use it."""

import argparse
import contextlib
import time
from datetime import UTC, datetime, timedelta

from tests.world.fake_cove import FakeCove, make_fleet, serving


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.world.fake_cove", description=__doc__)
    parser.add_argument("--port", type=int, default=8077)
    parser.add_argument("--devices", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    now = datetime.now(UTC).replace(microsecond=0)
    fleet = make_fleet(options.seed, now - timedelta(days=28), 35, options.devices)
    with serving(FakeCove(fleet, now), options.port) as cove, contextlib.suppress(KeyboardInterrupt):
        print("A fake Cove is running. Put this into cove.toml:\n")
        print(f'[database]\nurl = "sqlite:///cove.db"\n[api]\nurl = "{cove.url}"')
        print(f'[logins.main]\nusername = "{cove.username}"\npassword = "{cove.password}"\n', flush=True)
        while True:
            time.sleep(1)
            cove.now = datetime.now(UTC).replace(microsecond=0)


main()
