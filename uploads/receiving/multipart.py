"""Receives a form with files: every part of it is kept, or the form is refused.

The package `multipart` parses it. Django's own parser silently accepts a body that ends early, skips a file called `..`
and a part whose header it cannot decode, and drops a last file without its final boundary.
"""

import errno
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from io import BufferedWriter

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, QueryDict
from django.http.request import UnreadablePostError
from django.utils.datastructures import MultiValueDict
from django.utils.http import parse_header_parameters
from multipart import MultipartError, MultipartSegment, PushMultipartParser

from uploads.models import Upload
from uploads.receiving import refusals
from uploads.receiving.body import SENDER_TIMEOUT, sender_timeout
from uploads.receiving.incoming import ArrivingFile, incoming_folder
from uploads.receiving.names import clean_name, looks_like

ENVELOPE = 2**20  # bytes that boundaries, part headers and small fields may add to the files
BLOCK = 2**18  # bytes that are received and written at a time; the same number is in gunicorn.conf.py
MOST_PARTS = 1000  # in one form
UNENCODED = ("7bit", "8bit", "binary")  # values of Content-Transfer-Encoding


class FormData:
    """The content of a form: text fields, and files in the incoming folder."""

    def __init__(self) -> None:
        self.fields = QueryDict(mutable=True)
        self.files: MultiValueDict[str, UploadedFile[bytes]] = MultiValueDict()
        self.arriving = ExitStack()  # Closes the files, which removes them.
        self.renamed: list[tuple[str, str]] = []
        self.files_left = settings.DATA_UPLOAD_MAX_NUMBER_FILES
        self.text_left = settings.DATA_UPLOAD_MAX_MEMORY_SIZE  # bytes

    def add_text(self, field: str, content: Iterator[bytes]) -> None:
        text = bytearray()
        for piece in content:
            text += piece
            self.text_left -= len(piece)
            if self.text_left < 0:
                raise refusals.too_much_text()
        self.fields.appendlist(field, text.decode(errors="replace"))

    def add_file(self, field: str, given: str, content: Iterator[bytes]) -> None:
        self.files_left -= 1
        if self.files_left < 0:
            raise refusals.too_many_files()
        name = clean_name(given)
        if not looks_like(name, given):
            self.renamed.append((given, name))
        file = self.arriving.enter_context(ArrivingFile(name))
        writer = BufferedWriter(file.raw, BLOCK)  # Writes whole blocks. One buffer at a time, however many files.
        file.size = sum(map(writer.write, content))
        writer.detach()  # Writes the rest and leaves the file open.
        file.seek(0)
        self.files.appendlist(field, file)


def receive(request: HttpRequest) -> list[tuple[str, str]]:
    """Fill request.POST and request.FILES from a multipart body; return (given, kept) for names that were changed.

    Raises:
        Refusal: too large, too many files, broken, or the media mount cannot take it. Nothing remains on disk.
    """
    length = content_length(request)
    try:
        if Upload.objects.are_out_of_reach():
            raise OSError(errno.ENODEV, "the media mount is away")
        incoming_folder().mkdir(parents=True, exist_ok=True)
        with sender_timeout(request, SENDER_TIMEOUT):
            form = read_form(request, length)
    except (MultipartError, UnreadablePostError) as error:
        raise refusals.broken_form() from error
    except OSError as error:
        raise refusals.storage_failed(error) from error
    # Django REST framework sets these, too. Code that reads the form later, the CSRF check first, finds it parsed.
    request._post, request._files = form.fields, form.files  # type: ignore[attr-defined]
    return form.renamed


def read_form(request: HttpRequest, length: int) -> FormData:
    form = FormData()
    with form.arriving:
        for part, content in read_parts(request, length):
            if given := file_name(part):
                form.add_file(part.name, given, content)
            else:  # Also a file field in which no file was chosen: its file name is empty.
                form.add_text(part.name, content)
        form.arriving.pop_all()  # The form is whole, so the files stay.
    return form


def read_parts(request: HttpRequest, length: int) -> Iterator[tuple[MultipartSegment, Iterator[bytes]]]:
    """Yield each part of the body with its content, which must be read before the next part.

    Raises:
        MultipartError: the body breaks off or is not a form (RFC 7578).
    """
    # Not in strict mode, which refuses a complete body if a block happens to end before the last line break.
    boundary = (request.content_params or {}).get("boundary", "")
    parser = PushMultipartParser(boundary, length, max_segment_count=MOST_PARTS)
    events = parser.parse_blocking(partial(read_block, request), BLOCK)
    for part in events:
        if not part.name or part.header("Content-Transfer-Encoding", "binary").lower() not in UNENCODED:
            raise MultipartError("A part has no name or is encoded.")
        yield part, iter(events.__next__, None)  # The parser marks the end of a part with None.


def read_block(request: HttpRequest, size: int) -> bytes:
    block = request.read(size)
    if size and not block:  # The parser accepts this after the last part.
        raise MultipartError("The body ends before its Content-Length.")
    return block


def file_name(part: MultipartSegment) -> str:
    """Return a file's name as it was given, or an empty text where the part is no file.

    The parser reads `filename` as browsers send it. Django reads `filename*` (RFC 5987) and unusual spellings.
    """
    disposition = part["Content-Disposition"]
    if part.filename is not None and "filename*" not in disposition:
        return str(part.filename)
    try:
        return parse_header_parameters(disposition)[1].get("filename", "")
    except ValueError as error:
        raise MultipartError("A file name cannot be decoded.") from error


def content_length(request: HttpRequest) -> int:
    """Return the body's length in bytes, refusing a body that is too large before any of it is stored."""
    if "CONTENT_LENGTH" not in request.META:
        raise refusals.length_missing()
    length = int(request.META["CONTENT_LENGTH"] or 0)
    if length > settings.MAX_UPLOAD_SIZE + ENVELOPE:
        raise refusals.too_large("What you sent", length)
    return length
