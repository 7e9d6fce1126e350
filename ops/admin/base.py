"""Model pages without script. Read-only, unless a service stands behind every change.

Whoever passed the door of ops.middleware may do what the pages offer: Django's permissions by model
are not used. What is changed is written to the audit by the services, not to Django's own log,
whose rows would tell of one tenant in another one's history.
"""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from mail.errors import MailError
from ops.admin import search
from ops.admin.paging import BoundedPaginator
from ops.middleware import support_of
from tenants.audit import Actor
from tenants.errors import TenancyError

REFUSALS = (TenancyError, MailError, ValidationError)
"""What services raise when a person asks for something that cannot be."""


class ReadOnlyAdmin(admin.ModelAdmin):
    """A model to look at."""

    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 0
    actions_selection_counter = False
    hidden: ClassVar[tuple[str, ...]] = ()
    """Columns that are never read: secrets, which the role may not select either."""
    purpose = ""
    """One line under the heading: what this list answers."""
    called: ClassVar[tuple[str, str]] = ("", "")
    """One and many, where the model's own name would not do."""
    below = ""
    """Template of what stands below the fields of one row, filled by `tell`."""

    @property
    def one(self) -> str:
        return self.called[0] or str(self.opts.verbose_name)

    @property
    def many(self) -> str:
        return self.called[1] or str(self.opts.verbose_name_plural)

    @property
    def media(self) -> forms.Media:
        return forms.Media()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        return rows.defer(*self.hidden) if self.hidden else rows

    def get_exclude(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return self.hidden

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Never by a hidden column: `?password__startswith=` would guess it letter by letter."""
        parts = set(lookup.split("__"))
        return parts.isdisjoint(self.hidden) and super().lookup_allowed(lookup, value, request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.admin_site.has_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.admin_site.has_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Our own only: Django's "delete selected" asks no service."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    @admin.display(description="Pick")
    def action_checkbox(self, obj: Model) -> SafeString:
        return format_html(
            '<input type="checkbox" name="{}" value="{}" aria-label="Pick {}">',
            helpers.ACTION_CHECKBOX_NAME,
            obj.pk,
            obj,
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term.strip():
            return queryset, False
        found = self.find(request, queryset, search.read(search_term))
        if found is not None:
            return found, False
        return super().get_search_results(request, queryset, search_term)

    def find(
        self, request: HttpRequest, rows: QuerySet[Any], wanted: search.Wanted
    ) -> QuerySet[Any] | None:
        """The rows for what was typed; None leaves it to `search_fields`."""
        return None

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        extra = {"title": capfirst(self.many), "purpose": self.purpose, "model_admin": self}
        return super().changelist_view(request, extra | (extra_context or {}))

    def tell(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """What is known of a row beyond its columns, for the template `below`."""
        return {}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        extra: dict[str, Any] = {"model_admin": self}
        obj = context.get("original")
        if obj is not None:
            extra |= {"below": self.below, "to_do": self.to_do(request, obj)}
            extra |= self.tell(request, obj)
        return super().render_change_form(request, context | extra, *args, **kwargs)

    def to_do(self, request: HttpRequest, obj: Any) -> list[tuple[str, str]]:
        """Name and words of the list's actions, as buttons of one row."""
        return [(name, text) for _, name, text in self.get_actions(request).values()]

    def get_urls(self) -> list[Any]:
        """Without the pages of Django's own log."""
        return [one for one in super().get_urls() if not (one.name or "").endswith("_history")]

    def log_addition(self, *args: Any) -> Any:
        """The services write the audit."""

    def log_change(self, *args: Any) -> Any:
        """The services write the audit."""

    def log_deletions(self, *args: Any) -> Any:
        """The services write the audit."""


class ServiceForm(forms.ModelForm):
    """A form whose refusal by a service is shown like any other error."""

    refusal: Exception | None = None
    """Why the service refused these values a moment ago; set by `ServiceAdmin`."""
    refused_fields: ClassVar[dict[type[Exception], str]] = {}
    """At which field a refusal of a kind is shown; others stand above the form."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.refusal is not None:
            field = self.refused_fields.get(type(self.refusal))
            self.add_error(field, sentences(self.refusal))
        return cleaned


class ServiceAdmin(ReadOnlyAdmin):
    """A model that is written through services: `add`, `change` and `remove` call one each."""

    form = ServiceForm
    add_fields: ClassVar[tuple[str, ...]] = ()
    change_fields: ClassVar[tuple[str, ...]] = ()
    shown_fields: ClassVar[tuple[str, ...]] = ()
    add_form: ClassVar[type[ServiceForm] | None] = None
    change_form: ClassVar[type[ServiceForm] | None] = None
    removable = False
    typed_to_remove = False
    """Whether the name has to be typed, because nothing brings it back."""
    consequence = ""
    """What stops working when it is removed."""

    def add(self, request: HttpRequest, form: ServiceForm) -> Model:
        """Call the service that makes one."""
        raise NotImplementedError

    def change(self, request: HttpRequest, obj: Any, form: ServiceForm) -> None:
        """Call the service that changes one."""
        raise NotImplementedError

    def remove(self, request: HttpRequest, obj: Any, typed: str) -> None:
        """Call the service that removes one."""
        raise NotImplementedError

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.add_form is not None and self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.change_form is not None and self.has_view_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.removable and self.has_view_permission(request)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return self.add_fields if obj is None else (*self.change_fields, *self.shown_fields)

    def get_readonly_fields(
        self, request: HttpRequest, obj: Model | None = None
    ) -> tuple[str, ...]:
        return () if obj is None else self.shown_fields

    def get_form(
        self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        chosen = (self.change_form if change else self.add_form) or ServiceForm
        made: Any = super().get_form(request, obj, change, **kwargs | {"form": chosen})
        made.refusal = getattr(request, "refusal", None)
        return made

    def changeform_view(
        self, request: HttpRequest, object_id: Any = None, form_url: str = "", extra: Any = None
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra)
        except REFUSALS as refusal:
            # The transaction is rolled back: the same form again, with what the service said.
            request.refusal = refusal  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, extra)

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        if change:
            self.change(request, obj, form)
        else:
            made = self.add(request, form)
            obj.__dict__.update(made.__dict__)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Services save what belongs together."""

    def response_post_save_add(self, request: HttpRequest, obj: Model) -> Any:
        return see_other(super().response_post_save_add(request, obj))

    def response_post_save_change(self, request: HttpRequest, obj: Model) -> Any:
        return see_other(super().response_post_save_change(request, obj))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        obj = self.get_object(request, object_id)
        if obj is None:
            self.message_user(request, "It is not there any more.", messages.WARNING)
            return HttpResponseRedirect(self.list_url())
        if not self.has_delete_permission(request, obj):
            raise PermissionDenied
        error, name = "", str(obj)
        if request.method == "POST":
            error = self._try_to_remove(request, obj, request.POST.get("typed", "").strip())
            if not error:
                what = capfirst(self.one)
                return see_other(self.response_delete(request, f"{what} {name}", object_id))
        return TemplateResponse(request, "admin/remove.html", self._removal(request, obj, error))

    def _try_to_remove(self, request: HttpRequest, obj: Model, typed: str) -> str:
        if self.typed_to_remove and typed != str(obj):
            return f"Nothing was removed: type {obj} to confirm."
        try:
            self.remove(request, obj, typed)
        except REFUSALS as refusal:
            return " ".join(sentences(refusal))
        return ""

    def _removal(self, request: HttpRequest, obj: Model, error: str) -> dict[str, Any]:
        request.current_app = self.admin_site.name
        return self.admin_site.each_context(request) | {
            "title": f"Remove {self.one} {obj}?",
            "model_admin": self,
            "opts": self.opts,
            "object": obj,
            "typed_to_remove": self.typed_to_remove,
            "consequence": self.consequence,
            "error": error,
        }

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        self.message_user(request, f"{obj_display} is removed.", messages.SUCCESS)
        return HttpResponseRedirect(self.list_url())

    def list_url(self) -> str:
        return page_url(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist", self)


def page_url(name: str, model_admin: admin.ModelAdmin, *args: Any) -> str:
    """An address on the same site."""
    return reverse(name, args=args, current_app=model_admin.admin_site.name)


def actor_of(request: HttpRequest) -> Actor:
    """Who is written into the audit: the member of staff, with the client's address."""
    return support_of(request).actor


def tenant_of(request: HttpRequest) -> Any:
    """The tenant whose site this is."""
    return support_of(request).tenant


def try_each(
    model_admin: admin.ModelAdmin, request: HttpRequest, rows: Any, change: Any, done: str
) -> None:
    """Call a service for each picked row; what it refuses is said, the others are done.

    What `change` gives is said in place of `done`.
    """
    for row in rows:
        try:
            said = change(row) or done
        except REFUSALS as refusal:
            text = f"{row}: {' '.join(sentences(refusal))}"
            model_admin.message_user(request, text, messages.ERROR)
        else:
            model_admin.message_user(request, f"{row} {said}.", messages.SUCCESS)


def sentences(refusal: Exception) -> list[str]:
    """What a refusal says."""
    return refusal.messages if isinstance(refusal, ValidationError) else [str(refusal)]


def see_other(response: HttpResponse) -> HttpResponse:
    """303, so that the browser asks for the next page by GET."""
    response.status_code = 303
    return response
