"""Every address of the site."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path

urlpatterns = [
    path("", include("uploads.urls")),
    path("login/", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", login_not_required(auth.LogoutView.as_view()), name="logout"),
    path("admin/", admin.site.urls),
]

handler403 = "uploads.answers.forbidden"
handler404 = "uploads.answers.not_found"
handler500 = "uploads.answers.server_error"
