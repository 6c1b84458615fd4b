"""The reasons to refuse an upload: each has a sentence for a person and an HTTP status.

The code below the pages raises a refusal, and the page that received the request answers with it.
"""

import os
from http import HTTPStatus

from django.conf import settings
from django.forms import Form
from django.template.defaultfilters import filesizeformat


class Refusal(Exception):
    """A request that is answered with a sentence for a person and an HTTP status. Nothing of it was kept."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def too_many_files() -> Refusal:
    most = settings.DATA_UPLOAD_MAX_NUMBER_FILES
    sentence = f"More than {most} files came at once. Send at most {most} at a time; none of these was kept."
    return Refusal(HTTPStatus.BAD_REQUEST, sentence)


def too_large(what: str, size: int) -> Refusal:
    """Refuse a whole request of so many bytes."""
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large_sentence(what, size))


def too_large_sentence(what: str, size: int) -> str:
    return (
        f"{what} is {filesizeformat(size)}; a file, and all files sent at once, may be at most "
        f"{filesizeformat(settings.MAX_UPLOAD_SIZE)}. Send smaller files, or fewer at a time."
    )


def invalid_form(form: Form) -> Refusal:
    """Refuse with the first error of a form."""
    [error, *_] = [error for errors in form.errors.as_data().values() for error in errors]
    too_large = error.code == "too_large"
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST
    return Refusal(status, " ".join(error.messages))


def too_much_text() -> Refusal:
    sentence = "The form holds more text than this page asks for. Send only files."
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)


def broken_form() -> Refusal:
    sentence = "The upload broke off or is not a valid form, so nothing of it was kept. Send the files again."
    return Refusal(HTTPStatus.BAD_REQUEST, sentence)


def length_missing() -> Refusal:
    return Refusal(HTTPStatus.LENGTH_REQUIRED, "Send the upload with a Content-Length, not in chunks.")


def storage_failed(error: OSError) -> Refusal:
    """Refuse what the media mount cannot take."""
    reason = os.strerror(error.errno) if error.errno else "no reason given"
    sentence = f"The server cannot store files at the moment ({reason}), so nothing was kept. Please try again later."
    return Refusal(HTTPStatus.INSUFFICIENT_STORAGE, sentence)
