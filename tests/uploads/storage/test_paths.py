"""The names of stored files."""

import re
from pathlib import Path

import pytest

from tests.uploads.uploading import store
from uploads.storage import paths

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("PHOTO.JPG", ".jpg"),
        ("data.tar.gz", ".gz"),
        ("README", ""),
        (".profile", ""),
        ("trailing.", ""),
        ("words.ünï", ""),
        ("words.٣", ""),
        ("script.sh;rm -rf", ""),
        ("page.html\u202e", ""),
        ("x.tooLongToBeOne", ""),
    ],
)
def test_the_stored_path_is_ours_with_a_safe_extension(name: str, extension: str) -> None:
    upload = store(name, b"content")

    date, ending = f"{upload.created_at:%Y-%m-%d}", re.escape(extension)
    assert re.fullmatch(rf"uploads/{date}/[0-9a-f]{{32}}{ending}", str(upload.file.name))
    assert Path(upload.file.path).read_bytes() == b"content"


@pytest.mark.parametrize(
    ("path", "is_ours"),
    [
        ("uploads/2026-01-01/" + "ab" * 16, True),
        ("uploads/2026-01-01/" + "ab" * 16 + ".txt", True),
        ("incoming/arriving-x_1y2z3w", True),
        ("uploads/2026-01-01/holiday.jpg", False),
        ("uploads/" + "ab" * 16, False),
        ("incoming/holiday.jpg", False),
        ("elsewhere/arriving-x_1y2z3w", False),
    ],
)
def test_only_names_that_we_give_are_ours(path: str, is_ours: bool) -> None:
    assert paths.is_ours(path) == is_ours


def test_a_stored_path_tells_whose_it_is() -> None:
    upload = store()

    assert paths.public_id_in(str(upload.file.name)) == upload.public_id
    assert paths.public_id_in("incoming/arriving-x_1y2z3w") is None
