"""Settings by which Django's development server serves the application of the contract."""

SECRET_KEY = "not a secret"
ROOT_URLCONF = "tests.contract.servers.runserver"
WSGI_APPLICATION = "tests.live.app.app"
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
urlpatterns: list[object] = []
