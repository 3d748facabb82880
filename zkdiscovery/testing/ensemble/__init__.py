"""Several real ZooKeeper servers for tests, and the faults between them."""
