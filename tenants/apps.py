from django.apps import AppConfig
from django.db.models.signals import post_delete


class TenantsConfig(AppConfig):
    name = "tenants"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_tenants.signals import tenant_delete_callback

        from tenants import otp

        # It drops schemas, which our service does itself; and because it listens to every model,
        # each delete would first read all rows whole, sealed content and keys included.
        post_delete.disconnect(tenant_delete_callback)
        otp.install()
