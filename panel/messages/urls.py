"""Addresses of this section."""

from django.urls import path

from panel.messages import actions, listing, message, queue

_ONE = "<str:trace_id>/"

urlpatterns = [
    path("", listing.messages, name="messages"),
    path("queue/", queue.waiting, name="queue"),
    path("queue/retry/", queue.retry_host, name="queue-retry"),
    path(_ONE, message.message, name="message"),
    path(f"{_ONE}retry/", actions.retry, name="message-retry"),
    path(f"{_ONE}hold/", actions.hold, name="message-hold"),
    path(f"{_ONE}release/", actions.release, name="message-release"),
    path(f"{_ONE}cancel/", actions.cancel, name="message-cancel"),
    path(f"{_ONE}download/", actions.download, name="message-download"),
]
