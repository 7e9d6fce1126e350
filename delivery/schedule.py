"""When beat asks for what; by name, so that beat imports none of it."""

SCHEDULE = {
    "sweep the queue": {"task": "delivery.sweep_queue", "schedule": 600.0},
    "sweep old rows": {"task": "delivery.sweep_old_rows", "schedule": 3600.0},
    "feel the pulse": {"task": "delivery.feel_pulse", "schedule": 60.0},
    "tell of quarantine": {"task": "delivery.tell_of_quarantine", "schedule": 600.0},
    "apply retention": {"task": "delivery.apply_retention", "schedule": 900.0},
}
"""For Celery's beat_schedule (seconds)."""
