"""Addresses of a tenant's first page, its people, its settings and its audit."""

from django.urls import path

from panel.home import views as home
from panel.people import audit, erasing, inviting, members, settings

urlpatterns = [
    path("", home.home, name="home"),
    path("people/", members.people, name="people"),
    path("people/invite/", inviting.invite_somebody, name="invite"),
    path(
        "people/invitations/<int:invitation_id>/again/",
        inviting.again,
        name="invitation-again",
    ),
    path(
        "people/invitations/<int:invitation_id>/withdraw/",
        inviting.withdraw_it,
        name="invitation-withdraw",
    ),
    path("people/<int:user_id>/role/", members.role, name="member-role"),
    path("people/<int:user_id>/remove/", members.remove, name="member-remove"),
    path("people/hand-over/", members.hand_it_over, name="hand-over"),
    path("people/leave/", members.leave, name="leave"),
    path("settings/", settings.settings, name="settings"),
    path("settings/name/", settings.name, name="tenant-name"),
    path("settings/second-factor/", settings.second_factor, name="tenant-second-factor"),
    path("settings/pause/", settings.pause, name="tenant-pause"),
    path("settings/resume/", settings.resume, name="tenant-resume"),
    path("settings/export/", erasing.export, name="tenant-export"),
    path("settings/delete/", erasing.delete, name="tenant-delete"),
    path("audit/", audit.audit, name="audit"),
    path("audit/chain/", audit.chain, name="audit-chain"),
]
