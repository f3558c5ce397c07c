"""What people and monitoring systems read, made from values only: text, tables, JSON and HTML.

Nothing here asks Cove or the database, and nothing prints."""
