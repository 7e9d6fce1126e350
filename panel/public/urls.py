"""Pages for everybody: what this is, how it works, privacy, status."""

from django.urls import URLPattern, URLResolver

app_name = "public"
urlpatterns: list[URLPattern | URLResolver] = []
