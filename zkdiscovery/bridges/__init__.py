"""Bridges: what another system knows, such as a container engine, becomes instances in ZooKeeper."""
