"""Addresses of a person's own account: signing in, factors, sessions."""

from django.urls import path

from panel.account import details, factors, passwords, proving, signing_in, signing_up

app_name = "account"
urlpatterns = [
    path("sign-in/", signing_in.sign_in, name="sign-in"),
    path("sign-in/code/", signing_in.code, name="code"),
    path("sign-out/", signing_in.sign_out, name="sign-out"),
    path("sign-up/", signing_up.ask, name="sign-up"),
    path("sign-up/mailed/", signing_up.asked, name="sign-up-mailed"),
    path("sign-up/<str:token>/", signing_up.finish, name="sign-up-finish"),
    path("password/", passwords.ask, name="reset"),
    path("password/mailed/", passwords.asked, name="reset-mailed"),
    path("password/<str:user_id>/<str:token>/", passwords.reset, name="reset-finish"),
    path("account/", details.account, name="account"),
    path("account/confirm/", proving.confirm, name="confirm"),
    path("account/name/", details.name, name="name"),
    path("account/address/", details.address, name="address"),
    path("account/address/<str:token>/", details.confirm_address, name="confirm-address"),
    path("account/password/", passwords.change, name="password"),
    path("account/second-factor/", factors.factor, name="factor"),
    path("account/second-factor/begin/", factors.begin, name="factor-begin"),
    path("account/second-factor/set-up/", factors.set_up, name="factor-set-up"),
    path("account/second-factor/remove/", factors.remove, name="factor-remove"),
    path("account/recovery-codes/", factors.recovery_codes, name="recovery-codes"),
    path("account/recovery-codes/shown/", factors.shown_codes, name="recovery-codes-shown"),
    path("account/sessions/", details.sessions, name="sessions"),
    path("account/sessions/end/", details.end_all, name="sessions-end"),
    path("account/sessions/<int:session_id>/end/", details.end_one, name="session-end"),
    path("account/delete/", details.delete, name="delete"),
]
