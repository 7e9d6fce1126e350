"""Addresses below `/t/<slug>/`; each section lists its own, names are unique over all of them."""

from django.urls import include, path

app_name = "tenant"
urlpatterns = [
    path("", include("panel.people.urls")),
    path("domains/", include("panel.domains.urls")),
    path("routes/", include("panel.routes.urls")),
    path("messages/", include("panel.messages.urls")),
    path("quarantine/", include("panel.quarantine.urls")),
    path("trust/", include("panel.trust.urls")),
    path("logging/", include("panel.keeping.urls")),
    path("access/", include("panel.access_keys.urls")),
]
