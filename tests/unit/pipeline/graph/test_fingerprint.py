"""Tests that a fingerprint depends on the named code and nothing else."""

import os

import pytest

from pipeline.graph import fingerprint


@pytest.fixture
def code(tmp_path, monkeypatch):
    package = tmp_path / "fp_package"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "part.py").write_text("x = 1")
    (tmp_path / "fp_module.py").write_text("y = 1")
    (tmp_path / "fp_unrelated.py").write_text("z = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


NAMES = ("fp_package", "fp_module")


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("fp_module.py", True),
        ("fp_package/__init__.py", True),
        ("fp_package/deep/part.py", True),
        ("fp_package/new.py", True),
        ("fp_package/notes.txt", False),
        ("fp_unrelated.py", False),
    ],
)
def test_a_fingerprint_follows_the_sources(code, path, changes):
    before = fingerprint.of_modules(*NAMES)
    assert fingerprint.of_modules(*NAMES) == before
    (code / path).write_text("other = 2")
    assert (fingerprint.of_modules(*NAMES) != before) is changes


def test_the_order_of_names_does_not_matter(code):
    assert fingerprint.of_modules(*NAMES, *NAMES) == fingerprint.of_modules(*reversed(NAMES))
    assert fingerprint.of_modules("fp_package.deep") != fingerprint.of_modules("fp_package")


def test_a_module_in_a_package_has_a_fingerprint(code):
    before = fingerprint.of_modules("fp_package.deep.part")
    (code / "fp_package/__init__.py").write_text("w = 1")
    assert fingerprint.of_modules("fp_package.deep.part") == before


@pytest.mark.parametrize("name", ["fp_none", "fp_none.deeper", "fp_package.none"])
def test_an_unknown_module_is_refused(code, name):
    with pytest.raises(ModuleNotFoundError, match="fp_none|fp_package.none"):
        fingerprint.of_modules("fp_module", name)


def test_a_folders_fingerprint_covers_all_that_a_model_may_read(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("model.py", "sizes.json", "deep/words.txt", "table.csv", "pipeline.yaml"):
        (tmp_path / name).write_text("1")
    but = [tmp_path / "table.csv", tmp_path / "pipeline.yaml", tmp_path / "serving"]
    before = fingerprint.of_folder(tmp_path, but)
    assert fingerprint.of_folder(tmp_path, but) == before

    for name in ("model.py", "sizes.json", "deep/words.txt", "new.npy", "deep/new", "link"):
        file = tmp_path / name
        kept = file.read_bytes() if file.exists() else None
        if name == "link":
            file.symlink_to(tmp_path / "sizes.json")
        else:
            file.write_text("2")
        assert fingerprint.of_folder(tmp_path, but) != before, name
        file.unlink() if kept is None else file.write_bytes(kept)
        assert fingerprint.of_folder(tmp_path, but) == before, name

    made = ("workspace/x", "__pycache__/x.pyc", ".git/x", ".hidden", "venv/pyvenv.cfg", "venv/x")
    runs = ("runs/.lock", "runs/artifacts/x", "serving/1/saved_model.pb", "table.csv")
    for name in (*made, *runs):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("2")
        assert fingerprint.of_folder(tmp_path, but) == before, name


def test_the_path_of_a_file_counts(tmp_path):
    """Swapping two files changes the fingerprint."""
    for name, text in (("a/x", "1"), ("b/x", "2")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    before = fingerprint.of_folder(tmp_path)
    (tmp_path / "a").rename(tmp_path / "c")
    (tmp_path / "b").rename(tmp_path / "a")
    (tmp_path / "c").rename(tmp_path / "b")
    assert fingerprint.of_folder(tmp_path) != before


def test_a_large_file_counts_by_size_and_time(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "_LARGE_BYTES", 3)
    file = tmp_path / "weights"
    file.write_text("1234")
    os.utime(file, ns=(1, 1))
    before = fingerprint.of_folder(tmp_path)
    os.utime(file, ns=(2, 2))
    assert fingerprint.of_folder(tmp_path) != before
