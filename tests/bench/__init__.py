"""What a sync costs beside programs that do less, or the same in other ways: `make bench`."""
