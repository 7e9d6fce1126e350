"""Logging preferences: what is written down of mail, for how long, and what a change removes."""
