"""`doctor`: what works between this machine and ZooKeeper, what does not, and what to do about it.

Guarantees: it changes nothing. It makes one ephemeral node for a moment, outside services and elections, and asks for
rights by transactions that fail on purpose.
"""
