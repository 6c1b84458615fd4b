"""File names as people gave them, made safe to show."""

import random
import sys
import unicodedata

import pytest

from uploads.receiving.names import JOINERS, LONGEST_NAME, clean_name, looks_like


@pytest.mark.parametrize(
    "name", ["report.pdf", "No extension", ".gitignore", "archive.tar.gz", "Übersicht (1).xlsx", "写真.jpg", "..a", "…"]
)
def test_an_ordinary_name_stays_as_it_is(name):
    assert clean_name(name) == name


@pytest.mark.parametrize(
    "raw",
    [
        *["", " ", ".", "..", "...", ". .", "/", "\\", "../..", "a/..", "\t\n", "\x00", "\u202e", "\u00ad"],
        *["\u200d", "\u200c\u200d", ".\u200d.", "\ud800", "\ufeff", "\U000e0041", "\ue000"],
    ],
)
def test_a_name_of_which_nothing_is_left_is_unnamed(raw):
    assert clean_name(raw) == "unnamed"


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("/etc/passwd", "passwd"),
        ("../../../etc/passwd", "passwd"),
        ("C:\\fakepath\\photo.jpg", "photo.jpg"),
        ("C:\\mixed/parts\\photo.jpg", "photo.jpg"),
        ("folder/", "folder"),
        ("folder\\", "folder"),
    ],
)
def test_only_the_last_part_of_a_path_is_kept(raw, cleaned):
    assert clean_name(raw) == cleaned


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("a\x00b.txt", "ab.txt"),
        ("a\x1b[31mb.txt", "a[31mb.txt"),
        ("a\x7f\x9bb.txt", "ab.txt"),
        ("annual\u202egpj.exe", "annualgpj.exe"),
        ("\u2066a\u2069\u200e\u200f\u061c.txt", "a.txt"),
        ("\ufeffa\u200b.txt", "a.txt"),
        ("a\udcff.txt", "a.txt"),
    ],
)
def test_what_hides_or_reorders_text_is_dropped(raw, cleaned):
    assert clean_name(raw) == cleaned


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("  a \t\r\n b.txt ", "a b.txt"),
        ("a\u00a0\u3000b.txt", "a b.txt"),
        ("a\u2028b\u2029c\x85d\x1ce.txt", "a b c d e.txt"),
        ("subject\r\nBcc: x@y.txt", "subject Bcc: x@y.txt"),
    ],
)
def test_whitespace_of_any_kind_is_one_space(raw, cleaned):
    assert clean_name(raw) == cleaned


@pytest.mark.parametrize("name", ["👨\u200d👩\u200d👧.png", "می\u200cخواهم.txt", "क्\u200dष.txt", "❤\ufe0f.gif"])
def test_joiners_that_scripts_and_emoji_need_are_kept(name):
    assert clean_name(name) == name


def test_two_spellings_of_one_letter_become_one():
    assert clean_name("Cafe\u0301.txt") == clean_name("Caf\u00e9.txt") == "Caf\u00e9.txt"


def test_letters_that_a_dropped_character_kept_apart_are_composed_too():
    assert clean_name("Cafe\u200b\u0301.txt") == "Caf\u00e9.txt"


@pytest.mark.parametrize("extension", [".pdf", ".gz", "." + "x" * 126])
def test_a_long_name_keeps_its_extension(extension):
    cleaned = clean_name("a" * 400 + extension)

    assert len(cleaned) == LONGEST_NAME
    assert cleaned.startswith("aaa")
    assert cleaned.endswith(extension)


@pytest.mark.parametrize("raw", ["a" * 400, "a." + "x" * 400, "." + "x" * 400, "﷽" * 400, "😀" * 400])
def test_a_long_name_without_a_short_extension_is_cut(raw):
    assert clean_name(raw) == raw[:LONGEST_NAME]


@pytest.mark.parametrize("raw", ["a" * (LONGEST_NAME - 1) + " b", "a" * (LONGEST_NAME - 5) + " b.txt"])
def test_a_cut_leaves_no_space_at_the_end(raw):
    cleaned = clean_name(raw)

    assert cleaned == cleaned.strip()


def test_a_name_of_the_greatest_length_is_not_cut():
    name = "a" * (LONGEST_NAME - 4) + ".txt"

    assert clean_name(name) == name
    assert len(clean_name("a" + name)) == LONGEST_NAME


def random_names(count):
    """Return names of all sorts of characters, the troublesome ones more often than chance would have them."""
    source = random.Random(20240229)
    trouble = "./\\ \t\n\x00\x85\u0301\u200c\u200d\u200e\u202e\u2066\ufeff\ud800e"
    for _ in range(count):
        length = source.choice([1, 3, 10, 254, 255, 256, 400])
        yield "".join(
            source.choice(trouble) if source.random() < 0.4 else chr(source.randrange(sys.maxunicode + 1))
            for _ in range(length)
        )


def test_no_name_whatever_comes_out_unsafe():
    for raw in random_names(1500):
        cleaned = clean_name(raw)

        assert 1 <= len(cleaned) <= LONGEST_NAME, ascii(raw)
        assert cleaned not in (".", ".."), ascii(raw)
        assert not set(cleaned) & set("/\\\n\r\t"), ascii(raw)
        wrong = {c for c in cleaned if c not in JOINERS and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn")}
        assert not wrong, ascii(raw)
        assert cleaned.encode(), ascii(raw)


@pytest.mark.parametrize("raw", ["nfd-e\u0301.txt", " spaced  out .txt ", "C:\\photos\\a.png", "plain.txt"])
def test_what_looks_the_same_is_not_called_changed(raw):
    assert looks_like(clean_name(raw), raw)


@pytest.mark.parametrize("raw", ["..", "a\u202etxt.exe", "a\x00b.txt", "n" * 300])
def test_what_looks_different_is_called_changed(raw):
    assert not looks_like(clean_name(raw), raw)
