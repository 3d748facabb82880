"""Integrations with frameworks: one module and one extra each. `zkdiscovery` imports none of them."""
