"""Every address of the site."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required
from django.urls import include, path, reverse_lazy

urlpatterns = [
    path("", include("uploads.urls")),
    path("login/", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", login_not_required(auth.LogoutView.as_view()), name="logout"),
    path(
        "password/<uidb64>/<token>/",
        auth.PasswordResetConfirmView.as_view(post_reset_login=True, success_url=reverse_lazy("uploads:list")),
        name="password_reset_confirm",
    ),
    path("admin/", admin.site.urls),
]

handler403 = "uploads.pages.errors.forbidden"
handler404 = "uploads.pages.errors.not_found"
handler500 = "uploads.pages.errors.server_error"
