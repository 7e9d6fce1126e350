"""People: who they are, where they belong, how their accounts stand, and who was invited."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import Prefetch, QuerySet
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from mail.trace import printable
from ops.accounts import account_state, let_try_again, sign_out_everywhere, take_factor_away
from ops.admin.base import REFUSALS, ReadOnlyAdmin, actor_of, page_url, see_other, sentences
from ops.admin.columns import badge, tenant_link, yes_or_no
from ops.admin.forms import ReasonForm
from ops.admin.sites import shared_site
from tenants.invitations import LinkState, state_of
from tenants.models import Invitation, Membership, User


@dataclass(frozen=True, slots=True)
class Deed:
    """Something support may do to an account, with a reason."""

    name: str
    """In the address, and with `_` in the names of URLs."""
    button: str
    question: str
    consequence: str
    act: Callable[..., Any]
    done: str


DEEDS: Final = (
    Deed(
        "sign-out",
        "Sign out everywhere…",
        "Sign {} out everywhere?",
        "Every browser in which this person is signed in is signed out at once.",
        sign_out_everywhere,
        "is signed out everywhere",
    ),
    Deed(
        "remove-factor",
        "Remove the second factor…",
        "Remove the second factor of {}?",
        "From then on the password alone signs in. Recovery codes go with it, every session ends, "
        "and the person is told by mail. Be sure that it is he who asks.",
        take_factor_away,
        "has no second factor any more",
    ),
    Deed(
        "let-try",
        "Let him try again…",
        "Let {} try again?",
        "What was counted for the account is forgotten. Limits of a client or a network stay.",
        let_try_again,
        "may try again",
    ),
)


INVITED: Final = {
    LinkState.OPEN: ("open", "warn"),
    LinkState.USED: ("accepted", "good"),
    LinkState.EXPIRED: ("expired", "bad"),
    LinkState.WITHDRAWN: ("withdrawn", "plain"),
}
"""Word and tone."""


@admin.register(User, site=shared_site)
class UserAdmin(ReadOnlyAdmin):
    called = ("person", "people")
    purpose = "People who sign in. Staff are made by `manage.py staff`."
    list_display = (
        *("email", "called_by", "tenants", "confirmed", "of_staff", "active", "last_login"),
    )
    list_filter = (
        "is_staff",
        "is_active",
        ("email_confirmed_at", admin.EmptyFieldListFilter),
    )
    search_fields = ("email", "name")
    search_help_text = "E-mail address or name"
    hidden = ("password",)
    fields = (*("email", "called_by", "tenants", "active", "of_staff", "last_login", "created_at"),)
    readonly_fields = ("called_by", "tenants", "active", "of_staff")
    of_staff = yes_or_no("is_staff", "Staff")
    active = yes_or_no("is_active", "Active")
    confirmed = yes_or_no("email_confirmed_at", "Confirmed")
    below = "admin/person.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        members = Membership.objects.select_related("tenant")
        rows = super().get_queryset(request)
        return rows.prefetch_related(Prefetch("memberships", members, to_attr="belonging"))

    @admin.display(description="Name", ordering="name")
    def called_by(self, user: User) -> str:
        return printable(user.name, 120) or "-"

    @admin.display(description="Tenants")
    def tenants(self, user: Any) -> str | SafeString:
        pairs = [(tenant_link(one.tenant), one.role) for one in user.belonging]
        return format_html_join(", ", "{} ({})", pairs) or "none"

    def tell(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        invited = Invitation.objects.defer("digest").select_related("tenant")
        return {
            "account": account_state(obj),
            "deeds": [(deed, self._deed_url(deed, obj.pk)) for deed in DEEDS],
            "invitations": [
                (one, *INVITED[state_of(one, one.asked_at)])
                for one in invited.filter(email__iexact=obj.email).annotate(asked_at=Now())
            ],
        }

    def get_urls(self) -> list[Any]:
        own = [
            path(
                f"<path:object_id>/{deed.name}/",
                self.admin_site.admin_view(self._view_of(deed)),
                name=self._url_name(deed),
            )
            for deed in DEEDS
        ]
        return own + super().get_urls()

    def _view_of(self, deed: Deed) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest, object_id: str) -> HttpResponse:
            return self.deed_view(request, object_id, deed)

        return view

    def _url_name(self, deed: Deed) -> str:
        return f"tenants_user_{deed.name.replace('-', '_')}"

    def _deed_url(self, deed: Deed, pk: int) -> str:
        return page_url(f"admin:{self._url_name(deed)}", self, pk)

    def deed_view(self, request: HttpRequest, object_id: str, deed: Deed) -> HttpResponse:
        """Ask for the reason, then do it."""
        user = self.get_object(request, object_id)
        if user is None:
            raise Http404
        form = ReasonForm(request.POST if request.method == "POST" else None)
        back = page_url("admin:tenants_user_change", self, user.pk)
        if request.method == "POST" and form.is_valid():
            reason = form.cleaned_data["reason"]
            try:
                deed.act(user=user, reason=reason, actor=actor_of(request))
            except REFUSALS as refusal:
                form.add_error(None, sentences(refusal))
            else:
                self.message_user(request, f"{user} {deed.done}.", messages.SUCCESS)
                return see_other(HttpResponseRedirect(back))
        request.current_app = self.admin_site.name
        context = self.admin_site.each_context(request) | {
            "title": deed.question.format(user),
            "deed": deed,
            "person": user,
            "back": back,
            "form": form,
        }
        return TemplateResponse(request, "admin/deed.html", context)


@admin.register(Membership, site=shared_site)
class MembershipAdmin(ReadOnlyAdmin):
    called = ("member", "members of tenants")
    purpose = "Who may do what in which tenant."
    list_display = ("user", "tenant", "role", "created_at")
    list_filter = ("role",)
    list_select_related = ("user", "tenant")
    search_fields = ("user__email", "tenant__slug")
    search_help_text = "E-mail address or slug"


@admin.register(Invitation, site=shared_site)
class InvitationAdmin(ReadOnlyAdmin):
    purpose = "Who was asked to join which tenant. Invitations are sent and withdrawn by tenants."
    list_display = ("email", "inside", "role", "state", "invited_by", "created_at", "expires_at")
    list_select_related = ("tenant",)
    ordering = ("-created_at",)
    search_fields = ("email", "tenant__slug")
    search_help_text = "E-mail address or slug"
    hidden = ("digest",)
    fields = (
        *("email", "inside", "role", "state", "invited_by", "created_at", "expires_at"),
        *("accepted_at", "withdrawn_at"),
    )
    readonly_fields = ("inside", "state")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invitation]:
        return super().get_queryset(request).annotate(asked_at=Now())

    @admin.display(description="Tenant", ordering="tenant__slug")
    def inside(self, invitation: Invitation) -> str:
        return tenant_link(invitation.tenant)

    @admin.display(description="State")
    def state(self, invitation: Any) -> str:
        state = state_of(invitation, invitation.asked_at)
        return badge(*INVITED[state])
