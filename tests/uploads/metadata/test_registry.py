"""What is read from a file: size, digest, type, and an image's width and height."""

import hashlib
import io
import struct
import zlib

import pytest
from django.core.files.base import ContentFile
from PIL import Image, ImageFile

from uploads.metadata import image, registry
from uploads.metadata.digest import BLOCK
from uploads.metadata.sandbox.channel import ParserCrashed
from uploads.models import Upload

BASIC = {"name", "size", "content_type", "sha256"}
KINDS = ["AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP"]


def picture(kind, size=(120, 90)):
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 90)).save(file, kind, sizes=[size])  # An icon holds several sizes.
    return file.getvalue()


def png_header(width, height):
    """Return a PNG that claims a size and holds no pixels: PNG specification, sections 5.3 and 11.2.2."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    size = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + size + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def stored(content, name="tally.bin"):
    """Return an upload whose file lies on the media mount; no row is needed to read it."""
    upload = Upload(name=name)
    upload.file.save(name, ContentFile(content), save=False)
    return upload


def facts_of(upload):
    with upload.file.storage.open(upload.file.name, "rb") as file:
        return registry.read(file, upload.name)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 500_001])
def test_size_and_digest_are_of_the_whole_file(size):
    content = (b"0123456789abcdef\n" * (size // 17 + 1))[:size]

    facts = facts_of(stored(content, name="list.txt"))

    assert facts == {
        "name": "list.txt",
        "size": size,
        "content_type": "text/plain" if size else "application/x-empty",
        "sha256": hashlib.sha256(content).hexdigest(),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_has_width_and_height(kind):
    facts = facts_of(stored(picture(kind), name="wrong.txt"))

    assert facts["content_type"].startswith("image/")
    assert (facts["width"], facts["height"]) == (120, 90)
    assert "warning" not in facts


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
        (b"8BPS\0\x01", "image/vnd.adobe.photoshop"),
    ],
)
def test_an_image_of_a_kind_that_is_not_parsed_is_not_called_damaged(content, content_type):
    facts = facts_of(stored(content))

    assert facts["content_type"] == content_type
    assert not facts.keys() & {"width", "warning"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_breaks_off_early_gets_a_warning(kind):
    signature = picture(kind)[:20]

    facts = facts_of(stored(signature))

    assert facts["size"] == 20
    assert "warning" in facts or not facts["content_type"].startswith("image/")


@pytest.mark.parametrize("kind", KINDS)
def test_no_damaged_image_raises(kind):
    content = picture(kind)
    damaged = [content[:length] for length in range(0, len(content), 1 + len(content) // 150)]
    for position in range(min(len(content), 100)):
        damaged += [content[:position] + bytes([byte]) + content[position + 1 :] for byte in (0x00, 0x7F, 0xFF)]

    for file in damaged:
        try:
            facts = facts_of(stored(file))
        except ParserCrashed:  # A damaged header may ask for any amount of memory.
            continue

        assert facts["size"] == len(file)
        if facts["content_type"].startswith("image/"):
            assert set(facts) - BASIC in ({"warning"}, {"width", "height"})


@pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000), (2**31 - 1, 1)])
def test_a_header_that_claims_too_many_pixels_is_only_read(size):
    facts = facts_of(stored(png_header(*size)))

    assert (facts["width"], facts["height"]) == size


def test_an_image_without_pixels_gets_a_warning():
    assert set(facts_of(stored(png_header(0, 0)))) - BASIC == {"warning"}


@pytest.mark.parametrize("kind", image.FORMATS)
def test_no_pixel_is_decoded(kind, monkeypatch):
    content, decoded = picture(kind), []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: decoded.append(self.format))

    image.extract(io.BytesIO(content))

    assert decoded == []
