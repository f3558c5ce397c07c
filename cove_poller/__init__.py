"""cove-poller: the backup results of N-able Cove, in the Backupchecks database."""

__version__ = "0.1.0"
