"""The faults of a network on demand, between a client and a server."""
