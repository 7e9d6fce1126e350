"""Addresses of people outside a tenant: the list of tenants, invitations."""

from django.urls import URLPattern, URLResolver

app_name = "people"
urlpatterns: list[URLPattern | URLResolver] = []
