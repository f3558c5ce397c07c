"""`python -m cove_poller` is `cove-poller`."""

from cove_poller.cli.main import main

main()
