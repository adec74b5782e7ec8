"""Writing whole or not at all."""

import errno

import pytest

from keras_vit.files import check_writable, replacing


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_a_failure_keeps_what_was_there(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_failure_takes_away_the_folders_that_it_made(tmp_path):
    (tmp_path / "old").mkdir()
    path = tmp_path / "old" / "new" / "newer" / "file.txt"
    with pytest.raises(RuntimeError), replacing(path):
        raise RuntimeError
    assert [*tmp_path.iterdir()] == [tmp_path / "old"]
    assert not [*(tmp_path / "old").iterdir()]


def test_a_folder_replaces_a_folder(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").write_text("")
    with replacing(path) as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("")
    assert [p.name for p in path.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [(errno.ENOSPC, "The disk is full"), (errno.EACCES, "no permission")],
)
def test_errors_say_what_to_do(tmp_path, number, advice):
    with (
        pytest.raises(OSError, match=advice) as error,
        replacing(tmp_path / "file.txt"),
    ):
        raise OSError(number, "message of the system")
    assert error.value.errno == number and "file.txt" in str(error.value)


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="A file is where a folder is needed"):
        check_writable(tmp_path / "file")
