"""The upload form: one field, `file`, for one or several files."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile

from uploads.receiving.multipart import too_large


class FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    widget = FilesInput

    def clean(self, data: Any, initial: Any = None) -> list["UploadedFile[bytes]"]:
        """Return the files, empty ones included, which are files too."""
        files = data or []
        if not files:
            raise ValidationError("No file came. Choose at least one, then send.", code="required")
        for file in files:
            if file.size > settings.MAX_UPLOAD_SIZE:
                raise ValidationError(too_large(file.name, file.size), code="too_large")
        return list(files)


class UploadForm(forms.Form):
    file = FilesField(label="Files")
