"""Tests that any damage to an export is detected before loading, and described in one line."""

import os
import pathlib
import shutil

import pytest
from etils import epath

from models.training import export_manifest

FILES = {
    "saved_model.pb": "graph",
    "fingerprint.pb": "fingerprint",
    "variables/variables.index": "index",
    "variables/variables.data-00000-of-00001": "weights",
    "assets/zipcode": "98001\n98002\n98003\n",
    "assets.extra/label.json": '{"labels": []}',
    "assets.extra/features.json": '{"inputs": []}',
    "assets.extra/identity.json": '{"training": "a"}',
}


def export(folder: pathlib.Path, graph: str = "graph") -> pathlib.Path:
    for name, text in {**FILES, "saved_model.pb": graph}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    export_manifest.write(epath.Path(folder))
    return folder


def damage(folder: pathlib.Path) -> str:
    return export_manifest.damage(epath.Path(folder))


def put(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


def remove(name: str):
    return lambda folder: (folder / name).unlink()


def flip_a_bit(folder):
    file = folder / "variables" / "variables.data-00000-of-00001"
    content = bytearray(file.read_bytes())
    content[3] ^= 1
    file.write_bytes(content)


def swap(folder):
    one, other = folder / "assets.extra/label.json", folder / "assets.extra/features.json"
    first, second = one.read_text(), other.read_text()
    one.write_text(second)
    other.write_text(first)


def link_to_nothing(folder):
    (folder / "saved_model.pb").unlink()
    (folder / "saved_model.pb").symlink_to(folder / "gone")


def folder_for_a_file(folder):
    (folder / "saved_model.pb").unlink()
    (folder / "saved_model.pb").mkdir()


def file_for_a_folder(folder):
    shutil.rmtree(folder / "variables")
    (folder / "variables").write_text("")


INDEX, WEIGHTS = "variables/variables.index", "variables/variables.data-00000-of-00001"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (put("assets/zipcode", "98003\n98002\n98001\n"), "assets/zipcode differs from what"),
        (put("assets/zipcode", "98001\n98002\n"), "assets/zipcode differs from what"),
        (put("assets/zipcode", "98001\r\n98002\r\n98003\r\n"), "assets/zipcode differs from what"),
        (put("saved_model.pb", "another graph"), "saved_model.pb differs from what was exported"),
        (put("saved_model.pb", ""), "saved_model.pb differs from what was exported"),
        (put("fingerprint.pb", "other"), "fingerprint.pb differs from what was exported"),
        (put(INDEX, "ind"), f"{INDEX} differs from what was exported"),
        (put(WEIGHTS, "\0" * 7), f"{WEIGHTS} differs from what was exported"),
        (flip_a_bit, f"{WEIGHTS} differs from what was exported"),
        (put("assets.extra/label.json", "{"), "assets.extra/label.json differs from what"),
        (swap, "assets.extra/features.json differs from what was exported (SHA-256), and 1 more"),
        (remove("saved_model.pb"), "saved_model.pb is missing"),
        (remove(INDEX), f"{INDEX} is missing"),
        (remove(WEIGHTS), f"{WEIGHTS} is missing"),
        (remove("assets/zipcode"), "assets/zipcode is missing"),
        (remove("assets.extra/label.json"), "assets.extra/label.json is missing"),
        (lambda folder: shutil.rmtree(folder / "variables"), f"{WEIGHTS} is missing, and 1 more"),
        (link_to_nothing, "saved_model.pb is missing"),
        (folder_for_a_file, "saved_model.pb is missing"),
        (file_for_a_folder, f"{WEIGHTS} is missing, and 2 more"),
        (put("variables/variables.data-00001-of-00002", ""), "was not exported with it"),
        (put("saved_model.pbtxt", ""), "saved_model.pbtxt was not exported with it"),
        (put("assets.extra/manifest.json", "{"), "assets.extra/manifest.json cannot be read"),
        (put("assets.extra/manifest.json", "[]"), "assets.extra/manifest.json cannot be read"),
        (put("assets.extra/manifest.json", "\xff\xfe"), "assets.extra/manifest.json cannot be"),
    ],
)
def test_damage_is_described(tmp_path, harm, said):
    folder = export(tmp_path / "1")
    harm(folder)
    found = damage(folder)
    assert found.startswith("is damaged: ") and said in found and "\n" not in found


def test_an_intact_export_has_no_damage_even_when_copied(tmp_path):
    folder = export(tmp_path / "1")
    assert damage(folder) == ""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / ".DS_Store").touch()
    os.utime(copy / "saved_model.pb", (0, 0))
    assert damage(copy) == ""
    assert export_manifest.digest(epath.Path(copy)) == export_manifest.digest(epath.Path(folder))


def test_two_exports_have_different_digests(tmp_path):
    one, other = export(tmp_path / "1"), export(tmp_path / "2", graph="another")
    assert export_manifest.digest(epath.Path(one)) != export_manifest.digest(epath.Path(other))


def test_missing_checksums_are_reported(tmp_path):
    folder = export(tmp_path / "1")
    (folder / "assets.extra" / "manifest.json").unlink()
    assert damage(folder) == export_manifest.NO_CHECKSUMS
    assert export_manifest.digest(epath.Path(folder)) == ""


def test_a_file_that_is_copied_last_may_still_be_missing(tmp_path):
    folder = export(tmp_path / "1")
    (folder / "saved_model.pb").unlink()
    assert export_manifest.damage(epath.Path(folder), without="saved_model.pb") == ""
