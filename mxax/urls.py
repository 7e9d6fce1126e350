"""Every address of the web process."""

from django.urls import include, path

urlpatterns = [
    path("admin/", include("ops.urls")),
    path("t/<slug:slug>/", include("panel.tenant_urls")),
    path("", include("panel.people.shared_urls")),
    path("", include("panel.account.urls")),
    path("", include("panel.public.urls")),
    path("", include("panel.urls")),
]
