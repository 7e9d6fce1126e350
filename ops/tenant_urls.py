"""What is below `/admin/t/<slug>/`, the same for every tenant."""

from django.urls import path

from ops.admin import tenant_site

urlpatterns = [path("", tenant_site.urls)]
