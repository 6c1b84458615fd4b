"""Receiving a form with files: Django's parser, made to notice what it would pass over in silence.

As it comes, the parser accepts a body that ends early, skips a file called `..` and drops an unterminated last file.
"""

import errno
from io import BufferedWriter
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, TemporaryFileUploadHandler
from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.http.request import UnreadablePostError
from django.utils.datastructures import MultiValueDict

from uploads.models import Upload
from uploads.receiving import refusals
from uploads.receiving.body import SENDER_TIMEOUT, sender_timeout
from uploads.receiving.incoming import ArrivingFile, incoming_folder
from uploads.receiving.names import clean_name, looks_like

ENVELOPE = 2**20  # bytes that boundaries, part headers and small fields may add to the files
BLOCK = 2**18  # bytes of a file that are received and written at a time; gunicorn.conf.py knows it, too
HEADER = 1024  # bytes of a part's header that may follow its delimiter


class Body:
    """The request's body, which must be whole: as long as its Content-Length says, closed, and with all its parts.

    Delimiters are counted as they pass (RFC 2046, 5.1.1), because the parser skips a part whose header it cannot
    decode. A field for files in which none was chosen comes as a part with an empty name.
    """

    def __init__(self, request: HttpRequest, length: int) -> None:
        self.request = request
        self.left = length
        self.delimiter = b"\r\n--" + request.content_params.get("boundary", "").encode()  # type: ignore[union-attr]
        self.kept = len(self.delimiter) + HEADER
        self.tail = b"\r\n"  # The first delimiter may lack its line break.
        self.delimiters = self.closed = self.unnamed = 0

    def read(self, size: int) -> bytes:
        block = self.request.read(size)
        self.left -= len(block)
        if not block and self.left > 0:
            raise MultiPartParserError("The body ends before its Content-Length.")
        seam = self.tail + block[: len(self.delimiter)]
        if self.delimiter in block or self.delimiter in seam:
            window = self.tail + block
            self.delimiters += window.count(self.delimiter) - self.tail.count(self.delimiter)
            self.closed += self.delimiter + b"--" in window
            self.unnamed += window.count(b'filename=""')
        self.tail = (self.tail + block[-self.kept :])[-self.kept :]
        return block

    def missing(self, parts: int) -> bool:
        """Tell whether fewer parts were read than came. An unnamed one counted twice only makes this milder."""
        return not self.closed or self.delimiters - 1 > parts + self.unnamed


class FileHandler(TemporaryFileUploadHandler):
    """Writes each file to the media mount, where saving it is a rename.

    It is written in whole blocks: the parser's pieces end anywhere, and as they come they take half as long again.
    There is one such block at a time, however many files there are.
    """

    chunk_size = BLOCK

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        FileUploadHandler.new_file(self, *args, **kwargs)  # Not the parent's, which makes a file of its own.
        self.file = ArrivingFile(self.file_name, self.content_type, 0, self.charset, self.content_type_extra)
        self.writer = BufferedWriter(self.file.raw, BLOCK)

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self.writer.write(raw_data)

    def file_complete(self, file_size: int) -> "UploadedFile[bytes] | None":
        self.writer.detach()  # Writes what it holds, and leaves the file open.
        return super().file_complete(file_size)

    def upload_interrupted(self) -> None:
        raise MultiPartParserError("The last file has no end.")

    def discard(self) -> None:
        """Remove the file that was being written."""
        if file := getattr(self, "file", None):
            file.close()


class Parser(MultiPartParser):
    """Keeps every file part that has a name, under a name that is safe to show."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.renamed: list[tuple[str, str]] = []

    def sanitize_file_name(self, file_name: str) -> str:
        name = clean_name(file_name)
        if not looks_like(name, file_name):
            self.renamed.append((file_name, name))
        return name


def receive(request: HttpRequest) -> list[tuple[str, str]]:
    """Fill request.POST and request.FILES from a multipart body; return (given, kept) for names that were changed.

    Raises:
        Refusal: too large, too many files, broken, or the media mount cannot take it. Nothing remains on disk.
    """
    length = content_length(request)
    try:
        with sender_timeout(request, SENDER_TIMEOUT):
            return receive_whole(request, length)
    except TooManyFilesSent as error:
        raise refusals.too_many_files() from error
    except (RequestDataTooBig, TooManyFieldsSent) as error:
        raise refusals.too_much_text() from error
    except (MultiPartParserError, UnreadablePostError) as error:
        raise refusals.broken_form() from error
    except OSError as error:
        raise refusals.storage_failed(error) from error


def receive_whole(request: HttpRequest, length: int) -> list[tuple[str, str]]:
    if Upload.objects.are_out_of_reach():
        raise OSError(errno.ENODEV, "the media mount is away")
    incoming_folder().mkdir(parents=True, exist_ok=True)
    body, handler = Body(request, length), FileHandler(request)
    parser = Parser(request.META, body, [handler], request.encoding)
    post, files = parse(parser, handler)
    # As Django REST framework does: what reads the form later, the CSRF check first, finds it parsed.
    request._post, request._files = post, files  # type: ignore[attr-defined]
    if body.missing(sum(len(values) for part in (post, files) for _, values in part.lists())):
        raise MultiPartParserError("A part is missing.")
    return parser.renamed


def parse(parser: Parser, handler: FileHandler) -> tuple[QueryDict, "MultiValueDict[str, UploadedFile[bytes]]"]:
    try:
        return parser.parse()
    except BaseException:
        handler.discard()
        raise


def content_length(request: HttpRequest) -> int:
    """Return the body's length in bytes, refusing a body that is too large before any of it is stored."""
    if "CONTENT_LENGTH" not in request.META:
        raise refusals.length_missing()
    length = int(request.META["CONTENT_LENGTH"] or 0)
    if length > settings.MAX_UPLOAD_SIZE + ENVELOPE:
        raise refusals.too_large("What you sent", length)
    return length
