"""The configuration: its settings, the file that they come from, and the secrets that it names.

Knows the ground only; nothing here asks Cove or the database."""
