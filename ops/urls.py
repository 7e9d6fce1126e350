"""The shared admin site; a tenant's one is mounted by ops.middleware."""

from django.urls import path

from ops.admin import shared_site

urlpatterns = [path("", shared_site.urls)]
