"""Pages for people, and the two addresses that monitors ask."""

from django.urls import path, re_path

from panel import confirmations, held_links, views

app_name = "panel"
urlpatterns = [
    path("local/", views.start, name="start"),
    path("trace/<str:trace_id>/", views.trace, name="trace"),
    re_path(
        r"^(?P<action>confirm|stop|not-me)/(?P<token>[0-9a-z-]{1,80})/$",
        confirmations.answer,
        name="owner",
    ),
    re_path(
        r"^answer/(?P<result>confirmed|stopped|blocked)/$", confirmations.done, name="owner-done"
    ),
    re_path(
        r"^held/(?P<action>release|delete)/(?P<token>[0-9a-z-]{1,100})/$",
        held_links.decide,
        name="held",
    ),
    re_path(r"^held/(?P<result>released|deleted)/$", held_links.done, name="held-done"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
]
