"""Where somebody goes after signing in: where he wanted to, as far as that is ours, or home."""

from urllib.parse import urlsplit

from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

from tenants.models import User

LONGEST: int = 2000
TENANTS: str = "/t/"


def local_path(text: str | None) -> str:
    """A path of this site, "" for all else: other hosts and schemes, what browsers read as such."""
    path = text or ""
    ours = (
        path.startswith("/")
        and len(path) <= LONGEST
        and path.isascii()
        and path.isprintable()
        and "\\" not in path
        and url_has_allowed_host_and_scheme(path, allowed_hosts=None)
    )
    return path if ours else ""


def wanted_path(request: HttpRequest) -> str:
    """What `next` says, where it is ours and not one of the pages that sign in and out."""
    path = local_path(request.POST.get("next") or request.GET.get("next"))
    return "" if urlsplit(path).path.startswith(("/sign-in/", "/sign-out/")) else path


def home_of(user: User) -> str:
    """The only tenant of a person; the list of tenants for all others."""
    slugs = list(user.memberships.values_list("tenant__slug", flat=True)[:2])
    return f"{TENANTS}{slugs[0]}/" if len(slugs) == 1 else TENANTS
