"""The only SQL: engine and locks, tables and their inspection, migration, and the statements of a page.

Knows records and configuration, never Cove's wire."""
