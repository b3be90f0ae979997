import logging

import pytest

from grail_framework.runs.download_record import RECORD, compare_digest, known_sha256, read_records, sha256_of, write_record

# What `git hash-object` and `sha256sum` print for a file of these bytes.
CONTENTS = [
    (b"", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (
        b"hello\n",
        "ce013625030ba8dba906f756967f9e9ca394464a",
        "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
    ),
]


@pytest.mark.parametrize(("content", "blob", "sha256"), CONTENTS)
def test_both_kinds_of_digest_that_a_hub_states(tmp_path, content, blob, sha256):
    path = tmp_path / "file"
    path.write_bytes(content)
    assert compare_digest(path, blob) == (sha256, True)
    assert compare_digest(path, sha256) == (sha256, True)
    assert compare_digest(path, blob[::-1]) == (sha256, False)
    assert compare_digest(path, "0" * 64) == (sha256, False)
    assert compare_digest(path, "an-opaque-tag") == (sha256, None)
    assert compare_digest(path, None) == (sha256, None)


def test_a_record_is_read_back_and_grows(tmp_path):
    for name in ("last.pt", "config.yaml"):
        (tmp_path / name).write_bytes(name.encode())
        write_record(tmp_path / name, revision="main", commit="c0ffee", etag=None, sha256=sha256_of(tmp_path / name))
    records = read_records(tmp_path)
    assert sorted(records) == ["config.yaml", "last.pt"]
    assert (records["last.pt"].size, records["last.pt"].commit) == (7, "c0ffee")


def test_the_recorded_digest_counts_as_long_as_the_file_is_unchanged(tmp_path):
    path = tmp_path / "last.pt"
    path.write_bytes(b"hello\n")
    write_record(path, revision="main", commit="c0ffee", etag=None, sha256="as recorded")
    assert known_sha256(path, read_records(tmp_path)) == "as recorded"
    path.write_bytes(b"hello again\n")
    assert known_sha256(path, read_records(tmp_path)) == sha256_of(path)


@pytest.mark.parametrize("content", ["{", "[]", '{"last.pt": {"size": 3}}', '{"last.pt": 5}'])
def test_a_record_that_cannot_be_read_is_said_and_counts_as_none(tmp_path, caplog, content):
    (tmp_path / RECORD).write_text(content)
    with caplog.at_level(logging.WARNING):
        assert read_records(tmp_path) == {}
    assert RECORD in caplog.text
