"""Addresses of this section."""

from django.urls import path

from panel.quarantine import deciding, views

_ONE = "<int:held_id>/"

urlpatterns = [
    path("", views.quarantine, name="quarantine"),
    path("chosen/", deciding.chosen, name="quarantine-chosen"),
    path(_ONE, views.quarantined, name="quarantined"),
    path(f"{_ONE}look/", views.look, name="quarantined-look"),
    path(f"{_ONE}release/", deciding.release, name="quarantined-release"),
    path(f"{_ONE}allow/", deciding.allow, name="quarantined-allow"),
    path(f"{_ONE}delete/", deciding.delete, name="quarantined-delete"),
]
