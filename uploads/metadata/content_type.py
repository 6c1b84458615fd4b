"""Determines a content type from a file's first bytes, not from its name or the client's Content-Type.

Signatures are from the formats' specifications, names from https://www.iana.org/assignments/media-types/ or, where a
format is not registered, the name in common use. The WHATWG's sniffing standard is the model for text against binary:
https://mimesniff.spec.whatwg.org/.
"""

import re

HEAD = 64 * 1024  # bytes: enough for tar's mark at 257, ISO 9660's at 32,769 and a look at text
UNKNOWN = "application/octet-stream"

#: (offset, signature, content type); the first match wins.
SIGNATURES: list[tuple[int, bytes, str]] = [
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"\x00\x00\x01\x00", "image/vnd.microsoft.icon"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
    (0, b"\xff\x0a", "image/jxl"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (0, b"8BPS", "image/vnd.adobe.photoshop"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"%!PS", "application/postscript"),
    (0, b"{\\rtf", "application/rtf"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"\x04\x22\x4d\x18", "application/x-lz4"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"MSCF\x00\x00\x00\x00", "application/vnd.ms-cab-compressed"),
    (0, b"!<arch>\ndebian-binary", "application/vnd.debian.binary-package"),
    (257, b"ustar", "application/x-tar"),
    (32769, b"CD001", "application/x-iso9660-image"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"MThd", "audio/midi"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"FLV\x01", "video/x-flv"),
    (0, b"\x00\x00\x01\xba", "video/mpeg"),
    (0, b"\x00\x00\x01\xb3", "video/mpeg"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (0, b"\x7fELF", "application/x-elf"),
    (0, b"\xca\xfe\xba\xbe", "application/java-vm"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\x00asm", "application/wasm"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff2"),
    (0, b"OTTO\x00", "font/otf"),
    (0, b"\x00\x01\x00\x00\x00", "font/ttf"),
]

RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/x-wav", b"AVI ": "video/x-msvideo"}

#: Brands of an ISO base media file, ISO/IEC 14496-12, section 4.3.
BRANDS = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"crx ": "image/x-canon-cr3",
    b"M4A ": "audio/mp4",
    b"qt  ": "video/quicktime",
    b"3gp4": "video/3gpp",
    b"3gp5": "video/3gpp",
}

#: A folder that only one kind of Office Open XML document has.
OFFICE = {
    b"word/": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    b"xl/": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    b"ppt/": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}

BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


def content_type_of(head: bytes) -> str:
    """Return the content type of a file that begins with `head` (its first 64 KiB), `application/octet-stream` if
    nothing is recognised, `application/x-empty` for no bytes at all."""
    if not head:
        return "application/x-empty"
    for offset, signature, content_type in SIGNATURES:
        if head.startswith(signature, offset):
            return content_type
    return marked_text_type(head) or container_type(head) or plain_text_type(head) or UNKNOWN


def container_type(head: bytes) -> str | None:
    """Return the type of a format that needs more than a signature to be recognised, or None."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return zip_type(head)
    if head[:4] == b"RIFF":
        return RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return brand_type(head)
    if head[:4] == b"OggS":
        return "video/ogg" if b"theora" in head[:100] else "audio/ogg"
    if head[:4] == b"\x1a\x45\xdf\xa3":  # EBML, RFC 8794; the document type stands in its header.
        return "video/webm" if b"webm" in head[:64] else "video/matroska"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "audio/aiff"
    if head[:2] == b"MZ" and len(head) >= 64 and BINARY.search(head[:64]):
        return "application/vnd.microsoft.portable-executable"
    if head[:2] == b"BM" and len(head) >= 26 and head[6:10] == bytes(4):
        return "image/bmp"
    if is_mpeg_audio(head):
        return "audio/mpeg"
    return None


def brand_type(head: bytes) -> str:
    """Return the type of an ISO base media file by its brand; for a general HEIF brand look for AVIF as compatible."""
    brand, compatible = head[8:12], head[16 : int.from_bytes(head[:4])]
    if brand in (b"mif1", b"msf1") and (b"avif" in compatible or b"avis" in compatible):
        return "image/avif"
    return BRANDS.get(brand, "video/mp4")


def zip_type(head: bytes) -> str:
    """Tell a document from a plain archive by its first entries (PKWARE APPNOTE 4.3.7: name length at 26)."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    if name == b"mimetype":  # OpenDocument and EPUB store their type uncompressed as the first entry.
        length = int.from_bytes(head[18:22], "little")
        start = 38 + int.from_bytes(head[28:30], "little")
        declared = head[start : start + min(length, 100)].decode("ascii", "replace")
        if re.fullmatch(r"application/(vnd\.oasis\.opendocument\.[\w.+-]+|epub\+zip)", declared):
            return declared
    if b"[Content_Types].xml" in head[:4096] or name.startswith((b"_rels/", b"docProps/")):
        for folder, content_type in OFFICE.items():
            if b"\x00" + folder in head or folder in head:
                return content_type
    if b"META-INF/MANIFEST.MF" in head[:4096]:
        return "application/java-archive"
    return "application/zip"


def is_mpeg_audio(head: bytes) -> bool:
    """Tell whether an MPEG audio frame begins here: ISO/IEC 11172-3, section 2.4.1.3, with no reserved value."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, frequency = head[2] >> 4, head[2] >> 2 & 3
    return version != 1 and layer != 0 and bitrate not in (0, 15) and frequency != 3


def marked_text_type(head: bytes) -> str | None:
    """Return a text type where the file begins with a byte order mark (Unicode 15, section 23.8)."""
    for mark, encoding in BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return markup_type(head[len(mark) :].decode(encoding, "replace"))
    return None


def plain_text_type(head: bytes) -> str | None:
    """Return a text type, or None where there is a control character that text files do not contain."""
    return None if BINARY.search(head) else markup_type(head.decode("utf-8", "replace"))


def markup_type(text: str) -> str:
    start = re.sub(r"^\s*(<\?xml[^>]*>)?(\s|<!--.*?-->)*", "", text[:4096], flags=re.DOTALL).lower()
    if re.match(r"(<!doctype svg[^>]*>\s*)?<svg[\s>]", start):
        return "image/svg+xml"
    if re.match(r"<!doctype html|<(html|head|body|script|title|h1|p|div)[\s>]", start):
        return "text/html"
    if text.lstrip().startswith("<?xml"):
        return "application/xml"
    return "text/plain"
