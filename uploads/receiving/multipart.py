"""Receiving a form with files: Django's parser, made to notice what it would pass over in silence.

As it comes, the parser accepts a body that ends early, skips a file called `..` and drops an unterminated last file.
"""

import errno
import os
import time
from contextlib import suppress
from http import HTTPStatus
from io import BufferedWriter, FileIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, TemporaryFileUploadHandler
from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.http.request import UnreadablePostError
from django.template.defaultfilters import filesizeformat
from django.utils.datastructures import MultiValueDict

from uploads.operations.audit import ARRIVING, media_is_away
from uploads.receiving.names import clean_name, looks_like

ENVELOPE = 2**20  # bytes that boundaries, part headers and small fields may add to the files
BLOCK = 2**18  # bytes of a file that are received and written at a time; gunicorn.conf.py knows it, too
HEADER = 1024  # bytes of a part's header that may follow its delimiter
DRAIN = 64 * 2**20  # bytes of a refused body that are read, so that a browser gets to see the answer
DRAIN_TIME = 3.0  # seconds
SILENCE = 30.0  # seconds for which a sender may send nothing

TOO_MUCH_TEXT = "The form holds more text than this page asks for. Send only files."


class Refusal(Exception):
    """A request that is answered with a sentence for a person and an HTTP status."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


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


class ArrivingFile(TemporaryUploadedFile):
    """A file in the incoming folder, its path without anything of the user's name."""

    def __init__(self, name: str | None, *facts: Any) -> None:
        folder = settings.FILE_UPLOAD_TEMP_DIR
        file = NamedTemporaryFile(prefix=ARRIVING, dir=folder, buffering=0)  # noqa: SIM115 - closed by its owner
        UploadedFile.__init__(self, file, name, *facts)
        self.raw = cast(FileIO, file.file)


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
    limit_silence(request, SILENCE)
    handler = FileHandler(request)
    try:
        if media_is_away():
            raise OSError(errno.ENODEV, "the media mount is away")
        Path(settings.FILE_UPLOAD_TEMP_DIR).mkdir(parents=True, exist_ok=True)
        body = Body(request, length)
        parser = Parser(request.META, body, [handler], request.encoding)
        post, files = parse(parser, handler)
        # As Django REST framework does: what reads the form later, the CSRF check first, finds it parsed.
        request._post, request._files = post, files  # type: ignore[attr-defined]
        if body.missing(sum(len(values) for part in (post, files) for _, values in part.lists())):
            raise MultiPartParserError("A part is missing.")
    except TooManyFilesSent as error:
        drain(request)
        most = settings.DATA_UPLOAD_MAX_NUMBER_FILES
        sentence = f"More than {most} files came at once. Send at most {most} at a time; none of these was kept."
        raise Refusal(HTTPStatus.BAD_REQUEST, sentence) from error
    except (RequestDataTooBig, TooManyFieldsSent) as error:
        drain(request)
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_MUCH_TEXT) from error
    except (MultiPartParserError, UnreadablePostError) as error:
        sentence = "The upload broke off or is not a valid form, so nothing of it was kept. Send the files again."
        raise Refusal(HTTPStatus.BAD_REQUEST, sentence) from error
    except OSError as error:
        drain(request)
        raise storage_refusal(error) from error
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
        raise Refusal(HTTPStatus.LENGTH_REQUIRED, "Send the upload with a Content-Length, not in chunks.")
    length = int(request.META["CONTENT_LENGTH"] or 0)
    if length > settings.MAX_UPLOAD_SIZE + ENVELOPE:
        drain(request)
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large("What you sent", length))
    return length


def too_large(what: str, size: int) -> str:
    return (
        f"{what} is {filesizeformat(size)}; a file, and all files sent at once, may be at most "
        f"{filesizeformat(settings.MAX_UPLOAD_SIZE)}. Send smaller files, or fewer at a time."
    )


def drain(request: HttpRequest) -> None:
    """Read a bounded part of a refused body: a browser that is cut off while sending shows no answer at all."""
    left, deadline = DRAIN, time.monotonic() + DRAIN_TIME
    limit_silence(request, 1.0)
    with suppress(UnreadablePostError):
        while left > 0 and time.monotonic() < deadline and (block := request.read(2**16)):
            left -= len(block)


def limit_silence(request: HttpRequest, seconds: float) -> None:
    """Have reading fail where the sender is silent, so that nobody keeps a thread for ever. Only gunicorn tells how."""
    if client := request.META.get("gunicorn.socket"):
        client.settimeout(seconds)


def storage_refusal(error: OSError) -> Refusal:
    reason = os.strerror(error.errno) if error.errno else "no reason given"
    sentence = f"The server cannot store files at the moment ({reason}), so nothing was kept. Please try again later."
    return Refusal(HTTPStatus.INSUFFICIENT_STORAGE, sentence)
