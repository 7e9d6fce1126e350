"""Addresses of this section."""

from django.urls import path

from panel.trust import lists, sealers, trial, views

urlpatterns = [
    path("", views.trust, name="trust"),
    path("change/", views.change, name="trust-change"),
    path("try/", trial.try_it, name="trust-try"),
    path("lists/", lists.entries, name="trust-lists"),
    path("lists/new/", lists.add, name="trust-list-add"),
    path("lists/<int:entry_id>/remove/", lists.remove, name="trust-list-remove"),
    path("sealers/", sealers.sealers, name="trust-sealers"),
    path("sealers/new/", sealers.add, name="trust-sealer-add"),
    path("sealers/<int:sealer_id>/remove/", sealers.remove, name="trust-sealer-remove"),
]
