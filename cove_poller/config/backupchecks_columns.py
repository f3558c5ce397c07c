"""The columns of Backupchecks' tables that the poller uses, by our names. The tables are `database`'s."""

CUSTOMERS = ("id", "name", "active")
JOBS = ("id", "customer_id", "backup_software", "backup_type", "job_name", "active", "cove_account_id")
JOB_RUNS = (
    "id",
    "job_id",
    "run_at",
    "status",
    "remark",
    "mail_message_id",
    "source_type",
    "external_id",
    "reviewed_at",
    "reviewed_by",
    "created_at",
)

OPTIONAL = {"job_runs": frozenset({"reviewed_at", "reviewed_by", "created_at"})}
"""Used where the live table has them."""

ADDED = {"jobs": ("cove_account_id",), "job_runs": ("source_type", "external_id")}
"""What `migrate` adds to a live table."""
