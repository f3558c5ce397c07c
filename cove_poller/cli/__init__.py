"""The command line, one module a command: reads options, calls the command, prints, logs, pings and exits.

Nothing else prints or exits."""
