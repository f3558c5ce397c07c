"""What a backfill is asked for, and how it knows a device's history again that has not changed."""
