"""Runs: uploaded once, submitted, followed to their end."""

import dataclasses
import datetime

import pytest

from models.errors import FAILED, NOT_BLESSED, OK
from pipeline.kubeflow.compile.workflow_file import Manifest
from pipeline.kubeflow.server import service, v1beta1, v2beta1


def submit(api, job, console, now, **options):
    return service.submit(api, job, console, now, **options)


def said(console):
    return console.file.getvalue()


def test_an_unchanged_workflow_is_uploaded_once(api, job, workflow, console, now):
    # The second pipeline version may be of the same second as the first.
    assert submit(api, job, console, now) == submit(api, job, console, now) == OK
    pipeline = api.pipeline(job.pipeline)
    count = len(api.versions(pipeline.id))
    text = workflow.read_text().replace("115000", "116000")
    changed = dataclasses.replace(job, manifest=Manifest.parse(text, "changed"))
    assert submit(api, changed, console, now) == OK
    digests = [version.name.rpartition("-")[2] for version in api.versions(pipeline.id)]
    assert len(digests) == count + 1 and {job.manifest.digest, changed.manifest.digest} <= set(
        digests
    )


def test_a_run_is_found_by_its_id(api, job, console, now):
    assert submit(api, job, console, now) == OK
    experiment, version, run = said(console).splitlines()
    assert experiment == f"experiment  {job.experiment}"
    assert version.endswith(f"-{job.manifest.digest} of {job.pipeline}")
    prefix, _, run_id = run.rpartition("/")
    assert prefix == f"run         {job.name}, {api.host}/#/runs/details"
    found = api.run(run_id)
    assert (found.id, found.name) == (run_id, job.name)
    assert found.state in ("pending", "running", "done")


def test_versions_are_listed_over_several_pages(api, job, workflow, console, now, monkeypatch):
    for module in (v1beta1, v2beta1):
        monkeypatch.setattr(module, "_PAGE", 2)
    pipeline = api.create_pipeline(job.pipeline, workflow)
    names = [f"version {number}" for number in range(5)]
    for version in names:
        api.upload_version(pipeline.id, version, workflow)
    listed = [version.name for version in api.versions(pipeline.id)]
    assert set(names) <= set(listed) and len(listed) == len(set(listed))


@pytest.mark.parametrize(
    ("values", "code", "last"),
    [
        ({}, OK, "Blessed; no step reported whether the model was pushed"),
        ({"at_most": "1"}, NOT_BLESSED, "Not blessed, so not pushed"),
        ({"rmse": "dear"}, FAILED, "Its log: "),
    ],
)
def test_a_run_is_followed_to_its_end(api, job, console, now, values, code, last):
    wanted = dataclasses.replace(job, values=values)
    result = submit(api, wanted, console, now, wait=True, poll=0.2)
    lines = said(console).splitlines()
    if api.takes_parameters or code == FAILED:
        assert (result, lines[-1].startswith(last)) == (code, True)
    else:
        assert result == OK and "does not report whether the model was blessed" in lines[-1]
    state = "failed" if code == FAILED else "done"
    assert lines[3].split()[:2] == ["evaluator", state]
    assert datetime.datetime.now(now.tzinfo) - now < datetime.timedelta(minutes=20)
