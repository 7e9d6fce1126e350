"""The tenant's mail: what happened to it, what waits, and what can be done about it."""
