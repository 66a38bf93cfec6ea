import os

SECRET_KEY = "not a secret"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.hooks.django_site.urls"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "tests.hooks.django_site",
]
MIDDLEWARE = [
    "cometware.django.hook_middleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["DJANGO_DATABASE"],
        "CONN_MAX_AGE": int(os.environ.get("CONN_MAX_AGE", 0)),
        "TEST": {"NAME": os.environ.get("DJANGO_TEST_DATABASE")},  # by default in memory
    }
}
if "DJANGO_POSTGRESQL" in os.environ:  # the folder of its socket
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "postgres",
        "USER": "tester",
        "HOST": os.environ["DJANGO_POSTGRESQL"],
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
USE_TZ = True
LOGGING = {"version": 1, "loggers": {"django": {"level": "CRITICAL"}}}
COMETWARE_CHANNEL = "tests.hooks.django_site.live.channel"
