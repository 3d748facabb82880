"""Attacks on leases: a client, a follower or the leader stands still, or packets are held, at the worst of moments."""
