"""The database's outages: the files in which polls wait meanwhile, and how they are polled into and recorded from."""
