from django.apps import AppConfig


class MessageLogConfig(AppConfig):
    name = "delivery.messagelog"
    label = "messagelog"
    default_auto_field = "django.db.models.BigAutoField"
