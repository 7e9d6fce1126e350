"""When beat asks for what; by name, so that beat imports none of it."""

SCHEDULE = {"sweep accounts": {"task": "tenants.sweep_accounts", "schedule": 3600.0}}
"""For Celery's beat_schedule (seconds)."""
