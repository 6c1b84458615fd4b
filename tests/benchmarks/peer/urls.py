from django.urls import path
from peer.views import upload

urlpatterns = [path("", upload, name="upload")]
