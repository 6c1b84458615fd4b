"""The upload form: one field, `file`, for one or several files."""

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest

from uploads.models import Upload
from uploads.receiving import refusals
from uploads.receiving.deposit import deposit


class FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    widget = FilesInput

    def clean(self, data: Any, initial: Any = None) -> list["UploadedFile[bytes]"]:
        """Return the files. An empty file is accepted, unlike in Django's FileField."""
        files = data or []
        if not files:
            raise ValidationError("No file came. Choose at least one, then send.", code="required")
        for file in files:
            if file.size > settings.MAX_UPLOAD_SIZE:
                raise ValidationError(refusals.too_large_sentence(file.name, file.size), code="too_large")
        return list(files)


class UploadForm(forms.Form):
    file = FilesField(label="Files")


def take_files(request: HttpRequest, **origin: Any) -> list[Upload]:
    """Store the files of a received form, all or none; `origin` as for `deposit`.

    Raises:
        Refusal: there is no file, one is too large, or the media mount refuses.
    """
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        raise refusals.invalid_form(form)
    try:
        return deposit(form.cleaned_data["file"], **origin)
    except OSError as error:
        raise refusals.storage_failed(error) from error
