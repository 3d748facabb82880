"""Load balancing, simulated: clients and servers on a virtual clock. Tests and `benchmarks/balancing` run it."""
