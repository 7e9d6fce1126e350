"""Addresses of a person's own account: signing in, factors, sessions."""

from django.urls import URLPattern, URLResolver

app_name = "account"
urlpatterns: list[URLPattern | URLResolver] = []
