"""The first page of a tenant."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from panel.access import Role, needs, place_of
from panel.home.state import home_of
from panel.pages import page


@needs(Role.VIEWER)
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What needs somebody, the last 30 days, and the first steps."""
    return page(request, "panel/home/home.html", home=home_of(place_of(request)))
