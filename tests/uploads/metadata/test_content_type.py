"""Content types told from real files of each kind, made by the programs that usually make them."""

import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import wave
import zipfile

import pytest
from PIL import Image

from uploads.metadata.content_type import HEAD, content_type_of

OFFICE = "application/vnd.openxmlformats-officedocument"
OPEN_DOCUMENT = "application/vnd.oasis.opendocument"


def image(kind):
    file = io.BytesIO()
    Image.new("RGB", (30, 20), (200, 30, 90)).save(file, kind)
    return file.getvalue()


def zipped(*names, mimetype=""):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        if mimetype:
            archive.writestr(zipfile.ZipInfo("mimetype"), mimetype)
        for name in names:
            archive.writestr(name, f"<content of='{name}'/>" * 20)
    return file.getvalue()


def office(folder):
    return zipped("[Content_Types].xml", "_rels/.rels", "docProps/app.xml", f"{folder}/document.xml")


def tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return file.getvalue()


def wav():
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    return file.getvalue()


def database():
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE upload (name TEXT)")
    content = connection.serialize()
    connection.close()
    return content


FILES = {
    "png": (image("PNG"), "image/png"),
    "jpeg": (image("JPEG"), "image/jpeg"),
    "gif": (image("GIF"), "image/gif"),
    "webp": (image("WEBP"), "image/webp"),
    "bmp": (image("BMP"), "image/bmp"),
    "tiff": (image("TIFF"), "image/tiff"),
    "ico": (image("ICO"), "image/vnd.microsoft.icon"),
    "jp2": (image("JPEG2000"), "image/jp2"),
    "avif": (image("AVIF"), "image/avif"),
    "avif under a general brand": (image("AVIF").replace(b"ftypavif", b"ftypmif1", 1), "image/avif"),
    "heif": (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heif"),
    "zip": (zipped("a.txt", "b.txt"), "application/zip"),
    "empty zip": (zipped(), "application/zip"),
    "zip with word in it": (zipped("word/a.txt"), "application/zip"),
    "docx": (office("word"), f"{OFFICE}.wordprocessingml.document"),
    "xlsx": (office("xl"), f"{OFFICE}.spreadsheetml.sheet"),
    "pptx": (office("ppt"), f"{OFFICE}.presentationml.presentation"),
    "odt": (zipped("content.xml", mimetype=f"{OPEN_DOCUMENT}.text"), f"{OPEN_DOCUMENT}.text"),
    "ods": (zipped("content.xml", mimetype=f"{OPEN_DOCUMENT}.spreadsheet"), f"{OPEN_DOCUMENT}.spreadsheet"),
    "epub": (zipped("content.opf", mimetype="application/epub+zip"), "application/epub+zip"),
    "zip that claims to be html": (zipped("a.txt", mimetype="text/html"), "application/zip"),
    "zip that claims to be pdf": (zipped("a.txt", mimetype="application/pdf"), "application/zip"),
    "jar": (zipped("META-INF/MANIFEST.MF", "a/B.class"), "application/java-archive"),
    "tar": (tar(), "application/x-tar"),
    "gzip": (gzip.compress(b"tally"), "application/gzip"),
    "bzip2": (bz2.compress(b"tally"), "application/x-bzip2"),
    "xz": (lzma.compress(b"tally"), "application/x-xz"),
    "sqlite": (database(), "application/vnd.sqlite3"),
    "wav": (wav(), "audio/x-wav"),
    "mp3": (b"\xff\xfb\x90\x64" + bytes(413), "audio/mpeg"),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf"),
    "html": (b"\n<!DOCTYPE html>\n<title>Tally</title>", "text/html"),
    "html in capitals": (b"<HTML><BODY>Tally</BODY></HTML>", "text/html"),
    "html after a comment": (b"<!-- saved page -->\n<html>", "text/html"),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml"),
    "svg with a declaration": (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg width="9"/>', "image/svg+xml"),
    "xml": (b'<?xml version="1.0" encoding="UTF-8"?>\n<tally/>', "application/xml"),
    "text": ("Strichliste für alle\n".encode(), "text/plain"),
    "text with a mark": ("Größe".encode("utf-8-sig"), "text/plain"),
    "latin-1 text": ("Größe\n".encode("latin-1"), "text/plain"),
    "utf-16 text": ("Größe\n".encode("utf-16"), "text/plain"),
    "utf-16 text in english": (b"\xff\xfe" + "hello world".encode("utf-16-le"), "text/plain"),
    "utf-16 text, big end first": (b"\xfe\xff" + "hello world".encode("utf-16-be"), "text/plain"),
    "utf-16 html": ("<html>".encode("utf-16"), "text/html"),
    "text that begins like a font": (b"OTTO counts every stroke on his list.\n", "text/plain"),
    "text that begins like a program": (
        b"MZ, as he signs himself, counts every stroke on his list. " * 2,
        "text/plain",
    ),
    "text in colours": (b"\x1b[31mred\x1b[0m\n", "text/plain"),
    "binary": (bytes(range(256)), "application/octet-stream"),
    "zeros": (bytes(1000), "application/octet-stream"),
    "empty": (b"", "application/x-empty"),
}


@pytest.mark.parametrize("kind", FILES)
def test_the_type_is_told_from_the_bytes(kind):
    content, expected = FILES[kind]

    assert content_type_of(content[:HEAD]) == expected


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_breaks_off_anywhere_has_some_type(kind):
    content, expected = FILES[kind]

    types = [content_type_of(content[:length]) for length in range(65)]

    assert types[0] == "application/x-empty"
    assert all(1 <= len(content_type) <= 100 for content_type in types)


@pytest.mark.parametrize("text", ["<!--" * 16_000, "<!-- -->" * 8000, " " * HEAD, "<?xml " * 10_000, "<" * HEAD])
def test_markup_made_to_be_slow_is_told_at_once(text):
    for _ in range(20):
        assert content_type_of(text.encode()) in ("text/plain", "application/xml")


def test_a_declared_type_of_any_length_fits_its_column():
    declared = content_type_of(zipped(mimetype=f"{OPEN_DOCUMENT}.{'x' * 500}"))

    assert len(declared) <= 100
