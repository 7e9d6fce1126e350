"""The two sites: who may enter them, and their pages that are of no model."""

from typing import Any, ClassVar, cast

from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.auth.views import PasswordChangeView
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.text import capfirst
from django_otp.admin import OTPAdminSite

from ops.admin.signin import OwnPasswordForm, SignInForm
from ops.grants import active_grants
from ops.middleware import SHARED_PREFIX, Support
from tenants.clients import client_ip
from tenants.limits import Kind, Verdict, attempt_succeeded, count_attempt
from tenants.models import User
from tenants.services.signins import (
    end_other_sessions,
    end_session,
    keep_session,
    rename_session,
)

LEFT_OUT = frozenset({"autocomplete", "jsi18n", "view_on_site"})


class SupportSite(OTPAdminSite):
    """An admin site behind the door of ops.middleware, without script and without pages for it."""

    login_form = SignInForm
    login_template = "admin/login.html"
    logout_template = "admin/signed_out.html"
    password_change_done_template = "admin/password_done.html"  # noqa: S105 (a path)
    site_header = site_title = "mx.ax support"
    site_url = None
    enable_nav_sidebar = False
    password_change_form: ClassVar[type[AdminPasswordChangeForm]] = OwnPasswordForm

    def has_permission(self, request: HttpRequest) -> bool:
        """Only behind the door: without it the connection would work in the web role."""
        return self._is_behind_door(request) and super().has_permission(request)

    def _is_behind_door(self, request: HttpRequest) -> bool:
        return getattr(request, "support", None) is not None

    def get_urls(self) -> list[URLResolver | URLPattern]:
        own = [
            path(route, self.admin_view(view), name=name) for route, view, name in self.own_pages()
        ]
        return own + [one for one in super().get_urls() if getattr(one, "name", "") not in LEFT_OUT]

    def own_pages(self) -> list[tuple[str, Any, str]]:
        """Route, view and name of the pages that are of no model."""
        return []

    def get_log_entries(self, request: HttpRequest) -> None:
        """None: what staff do stands in the audit, which the tenant can read."""

    def get_app_list(
        self, request: HttpRequest, app_label: str | None = None
    ) -> list[dict[str, Any]]:
        """Models under the names that their pages bear."""
        apps = super().get_app_list(request, app_label)
        for entry in (model for app in apps for model in app["models"]):
            entry["name"] = capfirst(self._registry[entry["model"]].many)
        return apps

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        support: Support | None = getattr(request, "support", None)
        context = super().each_context(request)
        return context | {"support": support}


class SharedSite(SupportSite):
    """`/admin/`: tenants, people, claims, the queue as far as grants reach."""

    def own_pages(self) -> list[tuple[str, Any, str]]:
        from ops.admin import pages

        return [
            ("find/", pages.find, "find"),
            ("grant/<slug:slug>/", pages.open_access, "open_access"),
            ("grant/<slug:slug>/end/", pages.end_access, "end_access"),
        ]

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """One limiter and one list of sessions with the panel's sign-in page."""
        if request.method != "POST":
            return super().login(request, extra_context)
        typed = request.POST.get("username", "")
        where, before = client_ip(request), request.session.session_key or ""
        verdict = count_attempt(Kind.SIGN_IN, client_ip=where, account=typed)
        if not verdict.allowed:
            return _slow_down(request, verdict)
        response: HttpResponse = super().login(request, extra_context)
        if response.status_code == 302:
            attempt_succeeded(Kind.SIGN_IN, client_ip=where, account=typed)
            request.session.set_expiry(None)
            keep_session(
                user=cast(User, request.user),
                session_key=request.session.session_key or "",
                client_ip=where,
                user_agent=request.headers.get("User-Agent", ""),
                before=before,
            )
        return response

    def logout(self, request: HttpRequest, extra_context: Any = None) -> Any:
        key = request.session.session_key or ""
        response = super().logout(request, extra_context)
        if request.method == "POST":
            end_session(session_key=key)
        return response

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        if context["support"] is not None:
            context["grants"] = active_grants(staff_id=context["support"].staff.pk)
        return context

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        request.current_app = self.name
        before = request.session.session_key or ""
        response = PasswordChangeView.as_view(
            form_class=self.password_change_form,
            template_name="admin/password_form.html",
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context=self.each_context(request) | (extra_context or {}),
        )(request)
        after = request.session.session_key or ""
        if after != before:
            rename_session(old_key=before, new_key=after)
            end_other_sessions(user=cast(User, request.user), kept_session=after)
        return response


class TenantSite(SupportSite):
    """`/admin/t/<slug>/`: one tenant's models, in his schema, under a grant."""

    index_template = "admin/tenant_index.html"

    def index(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        glance = {}
        if self.has_permission(request):
            from ops.admin.glance import of_tenant

            glance = {"facts": of_tenant(request.support.tenant)}  # type: ignore[attr-defined]
        return super().index(request, glance | (extra_context or {}))

    def _is_behind_door(self, request: HttpRequest) -> bool:
        support = getattr(request, "support", None)
        return support is not None and support.grant is not None

    def own_pages(self) -> list[tuple[str, Any, str]]:
        from ops.admin import pages

        return [
            ("mail/", pages.mail, "mail"),
            ("mail/<str:trace_id>/", pages.story, "story"),
        ]

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """There is one sign-in page, the shared site's."""
        return HttpResponseRedirect(f"{SHARED_PREFIX}login/")

    def logout(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        raise Http404

    password_change = password_change_done = logout


def _slow_down(request: HttpRequest, verdict: Verdict) -> HttpResponse:
    minutes = max(1, round(verdict.retry_after_seconds / 60))
    response = render(request, "panel/account/slow_down.html", {"minutes": minutes}, status=429)
    response["Retry-After"] = str(verdict.retry_after_seconds)
    return response


shared_site = SharedSite("admin")
tenant_site = TenantSite("opened")  # not the name of the panel's pages, whose door goes by it
