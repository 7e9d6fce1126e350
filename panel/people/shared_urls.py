"""Addresses of people outside a tenant: the list of tenants, invitations."""

from django.urls import path, re_path

from panel.people import guests, tenants

LINK = r"^invitation/(?P<token>[a-z2-7]{1,64})/"

app_name = "people"
urlpatterns = [
    path("t/", tenants.tenants, name="tenants"),
    path("new-tenant/", tenants.new_tenant, name="tenant-new"),
    path("invited/<int:waiting_id>/", guests.waiting, name="invitation-waiting"),
    re_path(rf"{LINK}$", guests.invitation, name="invitation"),
    re_path(rf"{LINK}decline/$", guests.decline_invitation, name="invitation-decline"),
]
