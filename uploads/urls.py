from django.urls import path

from uploads.pages import errors as answers
from uploads.pages import reports, views

app_name = "uploads"
urlpatterns = [
    path("", views.upload_list, name="list"),
    path("uploads/<uuid:public_id>/", views.upload_detail, name="detail"),
    path("uploads/<uuid:public_id>/download", views.upload_download, name="download"),
    path("uploads/<uuid:public_id>/again", views.upload_again, name="again"),
    path("reports/", reports.report_list, name="reports"),
    path("reports/uploads.csv", reports.uploads_csv, name="csv"),
    path("reports/<int:pk>/", reports.report_detail, name="report"),
    path("reports/<int:pk>/mail.html", reports.report_html, name="report_html"),
    path("healthz", answers.healthz, name="healthz"),
    path("readyz", answers.readyz, name="readyz"),
]
