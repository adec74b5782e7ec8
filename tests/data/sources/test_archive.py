"""Archives, read where they are."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import keras_vit
from keras_vit import Preprocessing
from keras_vit.data.sources import archive as archives
from keras_vit.data.sources import gzip_bytes
from keras_vit.data.sources.archive import Archive, find_place
from keras_vit.data.sources.gzip_bytes import GzipBytes
from keras_vit.data.sources.picture_files import image_files
from keras_vit.read_image import to_array
from tests.one_backend import ONE_BACKEND
from tests.pictures import truncated_jpeg, write_folder

pytestmark = ONE_BACKEND

KINDS = ["zip", "tar", "tar.gz"]


def pack(folder: Path, kind: str, inside: str = "") -> Path:
    """Pack what is in a folder, below a folder of another name if there is one."""
    path = folder.with_name(f"{folder.name}.{kind}")
    files = sorted(x for x in folder.rglob("*") if x.is_file())
    names = [f"{inside}{file.relative_to(folder).as_posix()}" for file in files]
    return write_archive(
        path, {n: file.read_bytes() for n, file in zip(names, files, strict=True)}
    )


def write_archive(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def photos(tmp_path) -> Path:
    return write_folder(tmp_path / "photos")


@pytest.mark.parametrize("inside", ["", "photos/", "./a/b/"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_what_its_folder_is(kind, inside, photos):
    expected = keras_vit.load_data(photos)
    before = sorted(photos.parent.rglob("*"))
    path = pack(photos, kind, inside)
    data = keras_vit.load_data(path)
    assert data.class_names == expected.class_names
    for part, images in expected.parts.items():
        assert np.array_equal(np.sort(data.part(part).content), np.sort(images.content))
    how = {"preprocessing": Preprocessing(image_size=16), "batch_size": 8}
    for ours, theirs in zip(
        data.train.batches(training=True, **how)[0],
        expected.train.batches(training=True, **how)[0],
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert sorted(photos.parent.rglob("*")) == sorted([*before, path])


@pytest.mark.parametrize("kind", KINDS)
def test_a_divided_archive_with_what_systems_add(kind, photos, tmp_path):
    files = {
        f"data/{part}/{path.parent.name}/{path.name}": path.read_bytes()
        for part in ("train", "val")
        for path in sorted(photos.rglob("*.png"))
    }
    files |= {"__MACOSX/data/train/._x.png": b"1", "data/.DS_Store": b"2"}
    files["data/README.txt"] = b"about"
    data = keras_vit.load_data(write_archive(tmp_path / f"a.{kind}", files))
    assert {name: len(part) for name, part in data.parts.items()} == {
        "train": 40,
        "validation": 40,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_in_an_archive(kind, photos, tmp_path):
    files = {f"img/{p.stem}": p.read_bytes() for p in sorted(photos.rglob("*.png"))}
    labels = {p.stem: p.parent.name for p in photos.rglob("*.png")}
    rows = "\n".join(f"{name},{label}" for name, label in labels.items())
    files["train.csv"] = f"path,label\n{rows}\n".encode()
    path = write_archive(tmp_path / f"a.{kind}", files)
    for name in (path, path / "train.csv"):
        options = {"validation_fraction": 0, "image_dir": path / "img"}
        data = keras_vit.load_data(name, **options)
        found = [path.name for path in data.train.pictures()]
        names = [data.class_names[label] for label in data.train.labels]
        assert dict(zip(found, names, strict=True)) == labels
    other = write_archive(
        tmp_path / f"b.{kind}", {**files, "more.csv": b"path,label\na,b"}
    )
    with pytest.raises(ValueError, match=r"One list must .* \['more.csv', 'train.csv'"):
        keras_vit.load_data(other)


def test_a_list_beside_an_archive(photos, tmp_path):
    rows = [f"{p.parent.name}/{p.name},{p.parent.name}" for p in photos.rglob("*.png")]
    (tmp_path / "train.csv").write_text("path,label\n" + "\n".join(rows))
    path = pack(photos, "zip", "x/")
    data = keras_vit.load_data(tmp_path / "train.csv", image_dir=path / "x")
    assert len(data.train) + len(data.validation) == 40


def test_paths_lead_nowhere_out_of_an_archive(photos, tmp_path):
    (tmp_path / "secret.png").write_bytes(next(photos.rglob("*.png")).read_bytes())
    listed = {"list.csv": b"path,label\n../secret.png,a\n/etc/passwd,b\n"}
    path = write_archive(tmp_path / "a.zip", listed)
    with pytest.raises(FileNotFoundError, match="2 of 2 pictures"):
        keras_vit.load_data(path)
    for kind in KINDS:
        evil = write_archive(tmp_path / f"evil.{kind}", {"a/../../x.png": b"1"})
        with pytest.raises(ValueError, match="must stay inside it"):
            keras_vit.load_data(evil)
    rooted = write_archive(tmp_path / "rooted.tar", {"/etc/x.png": b"1"})
    assert Archive(rooted).names() == ["etc/x.png"]


@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_processes_read_the_same(kind, photos):
    archive = Archive(pack(photos, kind))
    expected = {p.relative_to(photos).as_posix(): p for p in photos.rglob("*.png")}
    names = [*expected] * 8
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(archive.read, names))
    assert found == [expected[name].read_bytes() for name in names]
    again = pickle.loads(pickle.dumps(archive.root / names[0]))
    np.testing.assert_array_equal(to_array(again, 3), to_array(expected[names[0]], 3))


@pytest.mark.parametrize("kind", KINDS)
def test_forked_processes_share_no_place_in_the_file(kind, photos, monkeypatch):
    archive = Archive(pack(photos, kind))
    before = archive._zip, archive._file, getattr(archive._gzip, "_file", None)
    monkeypatch.setattr(archives.os, "getpid", lambda: -1)
    picture = archive.root / "digit_1" / "10.png"
    assert picture.read_bytes() == (photos / "digit_1" / "10.png").read_bytes()
    after = archive._zip, archive._file, getattr(archive._gzip, "_file", None)
    assert sum(a is not b for a, b in zip(before, after, strict=True)) == 1


def test_backslashes_of_windows_are_folders(photos, tmp_path):
    files = {
        f"{path.parent.name}\\{path.name}": path.read_bytes()
        for path in photos.rglob("*.png")
    }
    data = keras_vit.load_data(write_archive(tmp_path / "a.zip", files))
    assert data.num_classes == 4
    evil = write_archive(tmp_path / "evil.zip", {"..\\x.png": b"1"})
    with pytest.raises(ValueError, match="must stay inside it"):
        keras_vit.load_data(evil)


def test_gzip_is_read_from_any_place(tmp_path, rng, monkeypatch):
    # Larger than the first distance of two points, and of two members.
    content = rng.integers(0, 256, 5 * 2**20, dtype="uint8").tobytes()
    import gzip

    packed = gzip.compress(content[: 2**22], 1) + gzip.compress(content[2**22 :], 1)
    path = tmp_path / "a.gz"
    path.write_bytes(packed + b"\0" * 100)
    with path.open("rb") as file:
        whole = GzipBytes(file)
        read = b"".join(iter(lambda: whole.read_on(777_777), b""))
        assert read == content and len(whole._points) > 2
        for start in [0, 1, 2**20, 2**22 - 5, len(content) - 10, 123_456]:
            for size in (1000, 2**21):
                assert whole.read_at(start, size) == content[start : start + size]
        assert whole.read_at(len(content) - 5, 99) == content[-5:]
        monkeypatch.setattr(gzip_bytes, "_KEPT_BYTES", 2**20)
        for start in rng.integers(0, len(content), 50):
            assert whole.read_at(start, 99) == content[start : start + 99]
        assert sum(map(len, whole._kept.values())) <= 2**20


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_archives_are_refused(kind, photos):
    path = pack(photos, kind)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cannot be read: .*Copy it again"):
        keras_vit.load_data(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        keras_vit.load_data(path)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_pictures_are_named(kind, photos):
    truncated_jpeg(photos / "digit_0" / "bad.jpg")
    path = pack(photos, kind)
    with pytest.raises(ValueError, match=rf"1 of 41 .*\n.*photos.{kind}/digit_0/bad"):
        keras_vit.load_data(path)
    with pytest.warns(UserWarning, match="1 of 41 image files"):
        keras_vit.load_data(path, skip_unreadable=True)


def test_other_archives_and_members(photos, tmp_path):
    for name in ("a.7z", "a.tar.xz"):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(ValueError, match="Pack the files anew"):
            keras_vit.load_data(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="No folder"):
        keras_vit.load_data(tmp_path / "missing.zip")
    path = pack(photos, "tar")
    with tarfile.open(path, "a") as archive:
        for kind, name in ((tarfile.SYMTYPE, "s.png"), (tarfile.LNKTYPE, "h.png")):
            member = tarfile.TarInfo(f"digit_0/{name}")
            member.type, member.linkname = kind, "digit_0/0.png"
            archive.addfile(member)
    with pytest.warns(UserWarning, match="as no plain files: 1 links"):
        assert len(image_files([path])) == 41


def test_encrypted_archives_are_refused(tmp_path):
    path = write_archive(tmp_path / "a.zip", {"a/b.png": b"1"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="must not be encrypted"):
        keras_vit.load_data(path)


def test_a_picture_in_an_archive_is_found_by_its_path(photos):
    place = find_place(pack(photos, "zip") / "digit_1")
    assert place.is_dir() and len(image_files([str(place)])) == 10
