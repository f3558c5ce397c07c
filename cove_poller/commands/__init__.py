"""The stories, one module each: what `sync`, `backfill`, `doctor` and the others do, and how a page is recorded.

Commands return results; they neither print nor exit."""
