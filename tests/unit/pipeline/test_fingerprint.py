"""A fingerprint follows the code that it names, and nothing else."""

import pytest

from pipeline import fingerprint


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
def test_follows_the_sources(code, path, changes):
    before = fingerprint.of_modules(*NAMES)
    assert fingerprint.of_modules(*NAMES) == before
    (code / path).write_text("other = 2")
    assert (fingerprint.of_modules(*NAMES) != before) is changes


def test_names_are_a_set(code):
    assert fingerprint.of_modules(*NAMES, *NAMES) == fingerprint.of_modules(*reversed(NAMES))
    assert fingerprint.of_modules("fp_package.deep") != fingerprint.of_modules("fp_package")


def test_of_a_module_in_a_package(code):
    before = fingerprint.of_modules("fp_package.deep.part")
    (code / "fp_package/__init__.py").write_text("w = 1")
    assert fingerprint.of_modules("fp_package.deep.part") == before


@pytest.mark.parametrize("name", ["fp_none", "fp_none.deeper", "fp_package.none"])
def test_unknown_module(code, name):
    with pytest.raises(ModuleNotFoundError, match="fp_none|fp_package.none"):
        fingerprint.of_modules("fp_module", name)
