"""No value comes through, whichever form it has, however it is wrapped and coloured, and wherever it is split."""

from __future__ import annotations

import base64
import textwrap
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness_nb.credentials.forms import masks_of
from harness_nb.shim.masker import Finder, Masker
from harness_nb.shim.plain import IGNORED, Plain

pytestmark = pytest.mark.row(2)

KEY = """-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj
MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu
NMoSfm76oqFvAp8Gy0iz5sxjZmSnXyCdPEovGhLa0VzMaQ8s+CLOyS56YyCFGeJZ
abcDEF=
-----END PRIVATE KEY-----
"""
VALUES = {
    "TOKEN": "ghp_x8Kd02mPqLs7TzA91bVcNw3E",
    "URL": "postgresql://ad'min:p@$$ w\"o\\rd/é&x@db.example:5432/app?x=1",
    "PASSWORD": "hunt3r!",
    "SHORT": "a-b1",
    "KEY": KEY,
}
MASKS = masks_of(VALUES)
FORMS = [form for forms in MASKS.values() for form in forms]
COLOURS = ("\x1b[31m", "\x1b[0m", "\x1b(B\x1b[m", "\x1b[38;5;196m")
WRAPS = ("\n", "\r\n", " \r", "\r\r\n")
FINDER = Finder()
FINDER.add(MASKS)


def masked(data: bytes, cuts: list[int]) -> bytes:
    masker = Masker(FINDER)
    places = [0, *cuts, len(data)]
    pieces = [data[one:other] for one, other in pairwise(places)]
    return b"".join(masker.feed(piece) for piece in pieces) + masker.flush()


def hits(data: bytes) -> list[str]:
    """Every form that stands in the data, as it is or as a terminal shows it."""
    texts = (data, data.translate(None, IGNORED), Plain(data).text)
    found = []
    for form in FORMS:
        whole = form.encode()
        joined = whole.translate(None, IGNORED)
        if whole in data or (len(joined) >= 8 and any(joined in text for text in texts)):
            found.append(form)
    return found


@st.composite
def outputs(draw: st.DrawFn) -> bytes:
    """A form with something between its letters, and neighbours that may begin or end another."""
    form = draw(st.sampled_from(FORMS))
    between = st.just("")
    if len(form.encode().translate(None, IGNORED)) >= 8:
        between = st.sampled_from(("", *COLOURS, *WRAPS) if draw(st.booleans()) else ("", "", ""))
    letters = "".join(letter + draw(between) for letter in form[:60]) + form[60:-1] + form[-1:] * (len(form) > 60)
    neighbours = st.one_of(
        st.sampled_from(["", "\r\n", "=", "-----", "\x1b[", "\x1b]0;", " ", "'"]),
        st.sampled_from(FORMS).map(lambda other: other[:5]),
        st.sampled_from(FORMS).map(lambda other: other[-5:]),
        st.text(alphabet="ghpost:/%'\"\\ \r\n\x1b[m", max_size=6),
    )
    return (draw(neighbours) + letters + draw(neighbours)).encode()


@given(outputs())
@settings(max_examples=12, deadline=None)
def test_a_value_split_at_any_byte_is_masked_as_if_it_were_whole(data: bytes) -> None:
    whole = masked(data, [])
    assert b"[credential:" in whole
    assert hits(whole) == []
    for cut in range(0, len(data) + 1, 1 + len(data) // 200):
        assert masked(data, [cut]) == whole
    assert masked(data, list(range(len(data)))) == whole


@given(outputs())
@settings(max_examples=12, deadline=None)
def test_pauses_between_all_bytes_show_no_more_than_three_of_a_value(data: bytes) -> None:
    masker = Masker(FINDER)
    shown = b"".join(masker.feed(data[at : at + 1]) + masker.settle() for at in range(len(data))) + masker.flush()
    assert hits(shown) == []
    assert b"[credential:" in shown


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
@settings(max_examples=200, deadline=None)
def test_output_without_values_is_left_byte_for_byte(data: bytes, cuts: list[int]) -> None:
    assert hits(data) or masked(data, sorted(min(cut, len(data)) for cut in cuts)) == data


@given(st.text(alphabet="ghp_x8Kd \r\n\x1b[0;31m]\x07-", max_size=80), st.lists(st.integers(0, 80), max_size=6))
@settings(max_examples=200, deadline=None)
def test_coloured_output_that_almost_spells_values_is_left_byte_for_byte(text: str, cuts: list[int]) -> None:
    data = text.encode()
    if not hits(data):
        assert masked(data, sorted(min(cut, len(data)) for cut in cuts)) == data


few = st.sampled_from("xyz")
pairs = st.dictionaries(st.sampled_from("ABC"), st.text(few, min_size=4, max_size=12), min_size=1, max_size=3)


@given(pairs, st.data())
@settings(max_examples=120, deadline=None)
def test_values_that_overlap_leave_no_end_of_one(values: dict[str, str], data: st.DataObject) -> None:
    piece = st.one_of(st.text(few, max_size=6), st.sampled_from(sorted(values.values())))
    output = "".join(data.draw(st.lists(piece, max_size=12))).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(output)), max_size=8)))
    covered = bytearray(output)
    for value in values.values():
        at = output.find(value.encode())
        while at >= 0:
            covered[at : at + len(value)] = b"\0" * len(value)
            at = output.find(value.encode(), at + 1)

    def shown(cuts: list[int]) -> bytes:
        masker = Masker()
        masker.add(masks_of(values))
        return b"".join(masker.feed(output[a:b]) for a, b in pairwise([0, *cuts, len(output)])) + masker.flush()

    assert shown(cuts) == shown([])
    left = shown([])
    for name in values:
        left = left.replace(f"[credential:{name}]".encode(), b"")
    assert left == bytes(covered).replace(b"\0", b"")


def test_a_key_is_masked_however_it_is_printed() -> None:
    lines = KEY.encode()
    wide = base64.b64encode(lines)
    prints = {
        "cat on a terminal": lines.replace(b"\n", b"\r\n"),
        "fold -w 20": b"\n".join(lines[at : at + 20] for at in range(0, len(lines), 20)),
        "base64 -w 76": b"\r\n".join(wide[at : at + 76] for at in range(0, len(wide), 76)),
        "letter by letter": b"".join(b"\x1b[38;5;%dm%c\x1b[39m" % (at % 200, byte) for at, byte in enumerate(lines)),
        "one line of it": b"grep found MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu here",
        "indented": textwrap.indent(KEY, "    ").encode(),
        "UTF-16": KEY.encode("utf-16-le"),
        "a title": b"\x1b]0;" + lines.replace(b"\n", b"") + b"\x07",
    }
    for how, data in prints.items():
        shown = masked(data, list(range(0, len(data), 11)))
        assert b"[credential:KEY]" in shown, how
        assert b"MzEfYyji" not in Plain(shown).text, how
        assert shown.count(b"\n") == data.count(b"\n"), how


def test_the_longest_value_is_taken_also_when_a_shorter_one_is_complete_first() -> None:
    masker = Masker()
    masker.add({"SHORT": ["abcd"], "LONG": ["abcdefgh"]})
    assert masker.feed(b"<abcd") == b"<"
    assert masker.feed(b"efgh>") == b"[credential:LONG]>"
    assert masker.feed(b"abcd") == b""
    assert masker.flush() == b"[credential:SHORT]"


def test_colours_and_line_breaks_of_a_value_stay_behind_its_mask() -> None:
    assert masked(b"a \x1b[31mghp_x8Kd02mP\x1b[1mqLs7Tz\r\nA91bVcNw3E\x1b[0m b", []) == (
        b"a \x1b[31m[credential:TOKEN]\x1b[1m\r\n\x1b[0m b"
    )


def test_a_value_with_a_link_in_its_middle_or_in_a_link_is_masked() -> None:
    assert masked(b"ghp_x8Kd02mP\x1b]8;;http://x\x07qLs7TzA91bVcNw3E", []) == b"[credential:TOKEN]\x1b]8;;http://x\x07"
    assert masked(b"\x1b]8;;http://ghp_x8Kd02mPqLs7TzA91bVcNw3E\x07", []) == b"\x1b]8;;http://[credential:TOKEN]\x07"


def test_a_value_after_an_unfinished_colour_is_masked() -> None:
    assert masked(b"\x1b[ghp_x8Kd02mPqLs7TzA91bVcNw3E", []) == b"\x1b[[credential:TOKEN]"


@pytest.mark.parametrize("before", [b"\x1b/", b"\x1b ", b"\x1b#", b"\x1b(", b"\x1b", b"\x1b[1;"])
def test_a_value_whose_first_letter_seems_to_end_an_escape_sequence_is_masked(before: bytes) -> None:
    data = before + VALUES["TOKEN"].encode() + b" <"
    for cut in range(len(data)):
        assert masked(data, [cut]) == before + b"[credential:TOKEN] <"


@pytest.mark.parametrize("flood", [b"\n", b"\0", b"\x1b[0m"])
def test_what_shows_nothing_is_not_held_back_without_end(flood: bytes) -> None:
    masker = Masker(FINDER)
    shown = sum(len(masker.feed(piece)) for piece in (b"ghp_", *[flood * 20_000] * 200))
    assert shown > len(flood) * 20_000 * 200 - (1 << 20)
    assert masker.feed(b"ghp_x8Kd02mPqLs7TzA91bVcNw3E!").endswith(b"[credential:TOKEN]!")


def test_a_value_that_is_no_text_and_the_end_of_a_sign_leaves_a_text() -> None:
    masker = Masker()
    masker.add(masks_of({"TOKEN": b"\xa9bcdefgh-1234".decode(errors="surrogateescape")}))
    assert masker.mask("caf\xe9bcdefgh-1234") == "caf\ufffd[credential:TOKEN]"


def test_a_value_that_ends_with_an_escape_is_masked_at_the_end() -> None:
    masker = Masker()
    masker.add({"TOKEN": ["abcdefgh-12\x1b"]})
    assert masker.feed(b"<abcdefgh-12\x1b") + masker.flush() == b"<[credential:TOKEN]"


def test_a_short_value_counts_only_where_nothing_stands_in_it() -> None:
    assert masked(b"hunt\r\n3r! hunt3r!", []) == b"hunt\r\n3r! [credential:PASSWORD]"


def test_what_is_shown_after_a_silence_is_little_and_the_rest_is_masked_all_the_same() -> None:
    masker = Masker(FINDER)
    assert (masker.feed(b"key: ghp"), masker.waiting) == (b"key: ", True)
    assert (masker.settle(), masker.waiting) == (b"ghp", False)
    assert (masker.feed(b"_x"), masker.settle()) == (b"", b"")
    assert masker.feed(b"8Kd02mPqLs7TzA91bVcNw3E!") == b"[credential:TOKEN]!"
    masker.feed(b"ghp")
    masker.settle()
    assert masker.feed(b"!") == b"!"


def test_a_whole_value_that_could_go_on_to_another_is_masked_after_a_silence() -> None:
    masker = Masker()
    masker.add({"SHORT": ["abcd"], "LONG": ["abcdefgh"]})
    assert masker.feed(b"<abcd") + masker.settle() == b"<[credential:SHORT]"
    assert masker.feed(b">") == b">"
    assert masker.feed(b"abcd") + masker.settle() + masker.feed(b"efgh>") == b"[credential:SHORT][credential:LONG]>"


def test_a_long_run_of_one_letter_is_neither_held_back_nor_slow() -> None:
    masker = Masker()
    masker.add({"A": ["aaaa"]})
    assert masker.feed(b"a" * 5000) == b"[credential:A]"
    assert masker.feed(b"b") == b"b"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("value", ["xxxxxxxx", "x" * 1000, "ab" * 500, "abc" * 300 + "a"])
def test_a_value_that_repeats_itself_is_masked_in_a_long_run_of_it_and_not_slow(value: str) -> None:
    masker = Masker()
    masker.add({"A": [value]})
    data = value.encode() * (1_000_000 // len(value))
    shown = b"".join(masker.feed(data[at : at + 65536]) for at in range(0, len(data), 65536)) + masker.flush()
    assert set(shown.split(b"[credential:A]")) == {b""}


def test_a_mask_never_spells_a_value() -> None:
    masker = Masker()
    masker.add(masks_of({"TOKEN": "credential"}))
    assert masker.feed(b"<credential>") == "<[…]>".encode()


def test_a_text_on_its_own_does_not_mix_with_the_stream() -> None:
    masker = Masker()
    assert masker.mask("abcd") == "abcd"
    masker.add({"ONE": ["abcd"]})
    assert masker.feed(b"ab") == b""
    assert masker.mask("cd abcd é") == "cd [credential:ONE] é"
    assert masker.feed(b"cd") + masker.flush() == b"[credential:ONE]"
