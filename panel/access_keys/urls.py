"""Addresses of a tenant's API tokens and SMTP credentials."""

from django.urls import path

from panel.access_keys import credentials, tokens, views

urlpatterns = [
    path("", views.access, name="access"),
    path("made/", views.made, name="access-made"),
    path("tokens/add/", tokens.add, name="token-add"),
    path("tokens/<int:token_id>/revoke/", tokens.revoke, name="token-revoke"),
    path("credentials/add/", credentials.add, name="credential-add"),
    path("credentials/<int:credential_id>/revoke/", credentials.revoke, name="credential-revoke"),
]
