"""How long the poller waits for a database: it is a guest there, and would rather end than hold up its hosts.

All times are in seconds. They are read when they are used.
"""

CONNECT = 10
"""For a connection: a server that is there answers at once, even from another continent."""

LOCK = 10
"""For a lock that somebody else holds: meanwhile others may wait for what this transaction has locked already."""

TURN = 30
"""For other runs that record devices, each as long as a page or a group takes; nothing is locked meanwhile."""

STATEMENT = 120
"""For the longest statement, on PostgreSQL's side: one of a page of devices takes well below a second."""

ANSWER = STATEMENT + 10
"""For an answer to it, on ours: a server, or a relay before it, that is frozen does not end anything itself."""

IDLE_IN_TRANSACTION = 120
"""After which PostgreSQL ends a transaction whose poller it hears no more of; what that locked is free again."""

IDLE_LOCK = 900
"""After which PostgreSQL gives back the lock of a poller that it hears no more of: longer than Cove takes to give a
page. A run that took longer takes its lock again."""

KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 30, 10, 3
"""When a network is asked whether it still leads anywhere: a connection that does not is given up after a minute."""

TCP_USER_TIMEOUT_MILLISECONDS = 60_000
"""For the other side to confirm that it has received what was sent."""

RESTART = 60
"""For a server that was there before: a restart, or the change to a standby, seldom takes longer."""

BUSY = 30
"""For another writer of an SQLite file: they take turns, a page each."""

BUSY_SLICE = 0.25
"""For how long SQLite itself waits: it hears no signal meanwhile."""

LOOK_WHO_BLOCKS = 0.6
"""The share of `LOCK` after which the server is asked who is in the way: afterwards nobody can tell any more."""

LAST_WORDS = 2.0
"""For the transaction that is under way when the process is told to end, which it has to within five seconds."""

LAST_WORDS_EACH = 0.5
"""For each wait for the database after that."""
