from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import path
from tickets import hooks, views

urlpatterns = [
    path("", views.queue, name="queue"),
    path("tickets/new/", views.new_ticket, name="new-ticket"),
    path("tickets/<int:ticket_id>/", views.ticket, name="ticket"),
    path("tickets/<int:ticket_id>/note/", views.add_note, name="add-note"),
    path("tickets/<int:ticket_id>/take/", views.take, name="take"),
    path("tickets/<int:ticket_id>/solve/", views.solve, name="solve"),
    path("tickets.csv", views.export, name="export"),
    path("announce/", views.announce, name="announce"),
    path("login/", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    # What clients of the channel do. From outside these are 404.
    path("realtime/open", hooks.arrived),
    path("realtime/close", hooks.left),
    path("realtime/event/watch", hooks.watch),
    path("realtime/event/take", hooks.take),
]
