"""From ended sessions to job runs: rounds, what each run says, and what is to be written. Pure."""
