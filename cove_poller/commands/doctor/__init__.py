"""`doctor`: everything that a sync needs, looked at once, each thing with its verdict and the way to mend it."""
