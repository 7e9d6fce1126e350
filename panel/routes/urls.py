"""Addresses of this section."""

from django.urls import path

from panel.routes import bulk, switching, trying, views

urlpatterns = [
    path("", views.routes, name="routes"),
    path("new/", views.route_add, name="route-add"),
    path("try/", trying.try_it, name="routes-try"),
    path("import/", bulk.import_routes, name="routes-import"),
    path("import/apply/", bulk.apply, name="routes-import-apply"),
    path("export.csv", bulk.export, name="routes-export"),
    path("<int:route_id>/", views.route, name="route"),
    path("<int:route_id>/edit/", views.route_edit, name="route-edit"),
    path("<int:route_id>/pause/", switching.pause, name="route-pause"),
    path("<int:route_id>/resume/", switching.resume, name="route-resume"),
    path("<int:route_id>/delete/", switching.delete, name="route-delete"),
    path("<int:route_id>/restore/", switching.restore, name="route-restore"),
    path("<int:route_id>/test/", switching.test, name="route-test"),
    path("destinations/<int:destination_id>/ask/", switching.ask, name="destination-ask"),
]
