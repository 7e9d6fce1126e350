"""Pages for everybody: what this is, how it works, help with the DNS, privacy, status."""

from django.urls import path

from panel.public import status, views

app_name = "public"
urlpatterns = [
    path("", views.landing, name="landing"),
    path("how-it-works/", views.how_it_works, name="how-it-works"),
    path("dns-help/", views.dns_help, name="dns-help"),
    path("dns-help/<slug:provider>/", views.dns_provider, name="dns-provider"),
    path("privacy/", views.privacy, name="privacy"),
    path("status/", status.status, name="status"),
]
