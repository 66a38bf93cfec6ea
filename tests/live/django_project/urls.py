from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse
from django.urls import path


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"hello {request.user.get_username() or 'stranger'}")


def log_in(request: HttpRequest) -> HttpResponse:
    user = authenticate(request, username=request.POST["username"], password=request.POST["password"])
    if user is None:
        return HttpResponse("no", status=403)
    login(request, user)
    return HttpResponse("in")


def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse("out")


def tell(request: HttpRequest) -> HttpResponse:
    """Publish from an ordinary view."""
    from tests.live.django_project.wsgi import channel

    channel.publish(request.POST["text"], to="user:ann")
    return HttpResponse(status=204)


urlpatterns = [path("", index), path("login", log_in), path("logout", log_out), path("tell", tell)]
