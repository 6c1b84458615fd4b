"""Staff sees all uploads and reports here, and deletes them where permitted; nothing is added or edited by hand."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from uploads.models import Report, Upload


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    show_full_result_count = False

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return bool(request.user.is_active and getattr(request.user, "is_staff", False))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.action(description="Try again", permissions=["view"])
def requeue(admin_site: "UploadAdmin", request: HttpRequest, uploads: "QuerySet[Upload]") -> None:
    count = Upload.objects.filter(pk__in=uploads.values("pk")).requeue()
    admin_site.message_user(request, f"{count} uploads are tried again.")


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    actions = [requeue]
    list_display = ["name", "size", "content_type", "status", "owner", "created_at", "processed_at"]
    list_filter = ["status"]
    list_select_related = ["owner"]
    search_fields = ["name"]
    exclude = ["file", "visitor"]
    ordering = ["-pk"]


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    list_display = ["slot", "status", "subject", "sent_at"]
    list_filter = ["status"]
    exclude = ["html"]
    ordering = ["-slot"]

    def get_queryset(self, request: HttpRequest):  # type: ignore[no-untyped-def]
        return super().get_queryset(request).defer("html", "text")
