"""The wire: asks Cove's services, reads page by page, and believes only what is plausible; and the past of a device.

Knows records and configuration, never the database."""
