"""Django's settings: wiring only. Every value that an operator may set comes from mxax.env."""

import os

from mxax.env import environment
from mxax.settings.databases import databases
from mxax.settings.logs import configure_logs

ENV = environment()

DEBUG = ENV.debug
SECRET_KEY = ENV.secret_key or ""
ALLOWED_HOSTS = list(ENV.allowed_hosts)

SHARED_APPS = [
    "django_tenants",
    "tenants",
    "delivery",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.admin",
    "django.forms",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "ops",
    "panel",
    "mxax.wiring.Wiring",
]
TENANT_APPS = ["routing", "delivery.messagelog"]
INSTALLED_APPS = SHARED_APPS + TENANT_APPS

TENANT_MODEL = "tenants.Tenant"
TENANT_DOMAIN_MODEL = "tenants.Hostname"
TENANT_LIMIT_SET_CALLS = True
AUTH_USER_MODEL = "tenants.User"
OTP_TOTP_ISSUER = ENV.service_domain
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = databases(ENV, role=os.environ.get("MXAX_DATABASE_ROLE") or "mxax_owner")
DATABASE_ROUTERS = ("django_tenants.routers.TenantSyncRouter",)

MIDDLEWARE = [
    "panel.middleware.counted",
    "panel.middleware.security_headers",
    "panel.middleware.scheme_of_trusted_proxies",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "panel.sessions.sessions_are_listed",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "ops.middleware.support_door",
    "panel.door.TenantDoor",
]
ROOT_URLCONF = "mxax.urls"
WSGI_APPLICATION = "mxax.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ENV.base_dir / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

LOGIN_URL = "/sign-in/"
CSRF_FAILURE_VIEW = "panel.kept.csrf_lost"

LANGUAGE_CODE = "en-gb"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = "mxax.formats"

STATIC_URL = "/static/"
STATICFILES_DIRS = [ENV.base_dir / "static"]
STATIC_ROOT = ENV.data_dir / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "KEY_FUNCTION": "django_tenants.cache.make_key",
        "REVERSE_KEY_FUNCTION": "django_tenants.cache.reverse_key",
    }
}

SECURE_PANEL = ENV.panel_url.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_PANEL
SESSION_COOKIE_NAME = "__Host-mxax-session" if SECURE_PANEL else "mxax-session"
CSRF_COOKIE_NAME = "__Host-mxax-csrf" if SECURE_PANEL else "mxax-csrf"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# A session ends after 14 days, and when nothing is asked in it for 12 hours (docs/accounts.md).
SESSION_COOKIE_AGE = 14 * 86400
SESSION_IDLE_SECONDS = 12 * 3600
PASSWORD_RESET_TIMEOUT = 3600
CSRF_TRUSTED_ORIGINS = [ENV.panel_url] if SECURE_PANEL else []
SECURE_HSTS_SECONDS = 31536000 if SECURE_PANEL else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_PANEL
SECURE_SSL_REDIRECT = SECURE_PANEL
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS: list[str] = []

CELERY_BROKER_URL = ENV.celery_broker_url

LOGGING_CONFIG = None
configure_logs(ENV)
