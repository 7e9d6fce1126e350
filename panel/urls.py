"""Pages for people, and the two addresses that monitors ask."""

from django.urls import path

from panel import views

app_name = "panel"
urlpatterns = [
    path("", views.start, name="start"),
    path("trace/<str:trace_id>/", views.trace, name="trace"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
]
