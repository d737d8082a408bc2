import pytest

from huref_zk.errors import InputError
from huref_zk.files.container import pack
from huref_zk.files.formats import FORMATS, format_of


def test_kinds_and_suffixes_are_distinct():
    assert len({fmt.kind for fmt in FORMATS}) == len(FORMATS)
    assert len({fmt.suffix for fmt in FORMATS}) == len(FORMATS)
    for fmt in FORMATS:
        assert len(fmt.kind) == 7 and fmt.kind.isascii() and len(fmt.magic) == 8
        assert len(set(fmt.sections)) == len(fmt.sections) > 0


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda fmt: fmt.suffix)
def test_the_kind_is_told_by_the_first_bytes(fmt):
    data = pack(fmt, {}, [b""] * len(fmt.sections))
    assert format_of(data) is format_of(data[:7]) is fmt
    assert format_of(data[:7] + b"\xff") is fmt  # of whatever version
    with pytest.raises(InputError, match=r"it writes: commitment \(.hzc\)"):
        format_of(data[:6])


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"PK\3\4", b"HUREFZK\1"])
def test_other_files(data):
    with pytest.raises(InputError, match="not a file of this program"):
        format_of(data)
