"""How a database is reached, waited for and locked, and what is said where it is not as it should be. No tables."""
