from django.urls import include, path

from uploads.operations.health import healthz, readyz
from uploads.pages.detail import requeue_upload, upload_detail
from uploads.pages.download import upload_download
from uploads.pages.list import upload_list
from uploads.pages.reports import report_detail, report_list, report_mail, uploads_csv

upload_pages = [
    path("", upload_list, name="list"),
    path("uploads/<uuid:public_id>/", upload_detail, name="detail"),
    path("uploads/<uuid:public_id>/download", upload_download, name="download"),
    path("uploads/<uuid:public_id>/again", requeue_upload, name="requeue"),
]
report_pages = [
    path("", report_list, name="list"),
    path("uploads.csv", uploads_csv, name="csv"),
    path("<int:pk>/", report_detail, name="detail"),
    path("<int:pk>/mail.html", report_mail, name="mail"),
]
urlpatterns = [
    path("", include((upload_pages, "uploads"))),
    path("reports/", include((report_pages, "reports"))),
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
]
