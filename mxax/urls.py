"""Every address of the web process."""

from django.urls import include, path

urlpatterns = [
    path("admin/", include("ops.urls")),
    path("", include("panel.urls")),
]
