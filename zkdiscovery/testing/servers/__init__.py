"""A real ZooKeeper for tests: where it comes from, and what a test may do to it."""
