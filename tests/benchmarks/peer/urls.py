from django.urls import path
from peer.views import throw_away, upload

urlpatterns = [path("", upload, name="upload"), path("throw-away", throw_away)]
