"""What Cove says of devices and sessions, what that means, and what is therefore to be written. Pure.

No clock, network, database, environment or logger: time is a parameter, and every rule can be tried with literals."""
