"""File names as people gave them, made safe to show. They are labels: no path is ever built from one."""

import unicodedata
from pathlib import PurePath

LONGEST_NAME = 255  # characters
JOINERS = "\u200c\u200d"  # Format characters that Persian, Indic scripts and emoji need.


def clean_name(raw: str) -> str:
    """Return the last part of a path as one line of visible text, at most 255 characters; `unnamed` if nothing is left.

    Dropped are control, format (bidirectional marks among them), surrogate and unassigned characters. See Unicode
    Standard Annex 44, general categories, and Unicode Technical Report 36 for what bidirectional marks can hide.
    """
    last = raw.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
    visible = "".join(
        " " if character.isspace() else character
        for character in last
        if character in JOINERS or character.isspace() or not unicodedata.category(character).startswith("C")
    )
    name = " ".join(unicodedata.normalize("NFC", visible).split())
    return "unnamed" if not name.strip(". " + JOINERS) else shorten(name)


def looks_like(name: str, raw: str) -> bool:
    """Tell whether a person would take the cleaned name for the given one: a path or spaces make no difference."""
    last = unicodedata.normalize("NFC", raw.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1])
    return name == " ".join(last.split())


def shorten(name: str) -> str:
    """Cut the stem, not the extension."""
    extension = PurePath(name).suffix
    if len(name) <= LONGEST_NAME or len(extension) > LONGEST_NAME // 2:
        return name[:LONGEST_NAME].rstrip()
    return name[: LONGEST_NAME - len(extension)].rstrip() + extension
