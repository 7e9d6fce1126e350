"""Mail itself: values, grammars and decisions, and nothing that reads or writes.

No Django, no sockets, no clock, no settings: the day, limits, secrets and lookups are arguments.
"""
