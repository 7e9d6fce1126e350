"""A domain's DKIM keys: made in pairs, switched to once seen in the DNS, revoked at once."""

from dataclasses import dataclass
from datetime import datetime

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods, require_safe

from mail.address import unicode_domain
from panel.access import Role, needs, place_of
from panel.domains.forms import RevokeForm
from panel.domains.lookup import Hosted, hosted
from panel.domains.record_views import NOT_LOOKED, RecordView, record_views
from panel.pages import done, page, submitted, typed
from routing.models import DkimKey
from routing.records.values import Kind
from routing.services.keys import RETIRED_KEPT_FOR, create_keys, revoke_key
from tenants.errors import NotConfirmed, TenancyError, UnknownName

State = DkimKey.State


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One key as the table shows it."""

    key: DkimKey
    word: str
    tone: str
    dns: str
    dns_tone: str
    age_days: int
    gone_at: datetime | None


@needs(Role.VIEWER)
@require_safe
def keys(request: HttpRequest, domain_name: str) -> HttpResponse:
    """The keys, and the records of those that wait."""
    one = hosted(place_of(request), domain_name)
    seen = {view.name: view for view in _records(one)}
    lines = [_line(key, seen.get(str(key)), one.now) for key in _with_domain(one)]
    return page(
        request,
        "panel/domains/keys.html",
        one=one,
        lines=lines,
        waiting=[view for view in seen.values() if view.is_to_do],
        can_make=not any(key.state == State.WAITING for key in one.keys),
    )


def _records(one: Hosted) -> list[RecordView]:
    return record_views([row for row in one.rows if row.kind is Kind.DKIM])


def _with_domain(one: Hosted) -> list[DkimKey]:
    for key in one.keys:
        key.domain = one.domain  # its text has the domain's name: no query for each
    return list(one.keys)


def _line(key: DkimKey, record: RecordView | None, now: datetime) -> KeyLine:
    word, tone = {
        State.WAITING: ("waits for the DNS", "warn"),
        State.ACTIVE: ("signs", "good"),
        State.RETIRED: ("retired", "plain"),
    }[State(key.state)]
    return KeyLine(
        key=key,
        word=word,
        tone=tone,
        dns=record.word if record else ("not asked any more" if key.seen_at else NOT_LOOKED),
        dns_tone=record.tone if record else "plain",
        age_days=(now - key.created_at).days,
        gone_at=key.retired_at + RETIRED_KEPT_FOR if key.retired_at else None,
    )


@needs(Role.ADMIN, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: HttpRequest, domain_name: str) -> HttpResponse:
    """A new pair, which waits to be seen."""
    place = place_of(request)
    one = hosted(place, domain_name)
    refusal = ""
    if request.method == "POST":
        try:
            create_keys(tenant=place.tenant, domain=one.name, actor=place.actor)
        except TenancyError as error:
            refusal = str(error).replace(one.name, unicode_domain(one.name))
        else:
            text = f"Two keys of {unicode_domain(one.name)} wait: publish their records."
            return done(request, text, place.url("domain-keys", one.name))
    return page(
        request,
        "panel/domains/key_add.html",
        status=409 if refusal else None,
        one=one,
        refusal=refusal,
        is_rotation=any(key.state == State.ACTIVE for key in one.keys),
    )


@needs(Role.ADMIN, fresh=True)
@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: HttpRequest, domain_name: str, key_id: int) -> HttpResponse:
    """Destroy a key at once."""
    place = place_of(request)
    one = hosted(place, domain_name)
    key = next((key for key in _with_domain(one) if key.pk == key_id), None)
    if key is None:
        raise Http404
    form = RevokeForm(typed(request), selector=key.selector)
    if submitted(request, form):
        try:
            revoke_key(
                tenant=place.tenant,
                domain=one.name,
                selector=key.selector,
                typed=form.cleaned_data["typed"],
                actor=place.actor,
            )
        except NotConfirmed as error:
            form.refuse("typed", error)
        except UnknownName:
            raise Http404 from None
        else:
            text = (
                f"The key {key.selector} is destroyed. Now delete its record {key}, or let it say "
                "only “v=DKIM1; p=”: until then receivers still believe signatures made with it."
            )
            return done(request, text, place.url("domain-keys", one.name))
    return page(
        request,
        "panel/domains/key_revoke.html",
        form=form,
        one=one,
        key=key,
        is_active=key.state == State.ACTIVE,
        others=sum(other.state == State.ACTIVE for other in one.keys if other.pk != key.pk),
    )
