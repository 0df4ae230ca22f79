"""Checks of uploaded workflows."""

import json

import yaml
from pipelines_server.refusals import INTERNAL, INVALID, Refused


def read_workflow(text):
    """Returns an uploaded workflow; apiserver/template, template.go and argo_template.go."""
    try:
        workflow = yaml.safe_load(text)
    except yaml.YAMLError:
        workflow = None
    if not isinstance(workflow, dict) or workflow.get("kind") != "Workflow":
        raise Refused(INVALID, "unknown template format")
    expected, received = "argoproj.io/v1alpha1", workflow.get("apiVersion")
    if received != expected:
        message = f"Unsupported argo version. Expected: {expected}. Received: {received}"
        raise Refused(INVALID, message)
    # A part of Argo's workflow/validate/validate.go, whose errors are not for users.
    templates = workflow.get("spec", {}).get("templates", ())
    names = {template["name"] for template in templates}
    for template in templates:
        for task in template.get("dag", {}).get("tasks", ()):
            if task["template"] not in names:
                where = f"templates.{template['name']}.tasks.{task['name']}"
                message = f"{where} template name '{task['template']}' undefined"
                raise Refused(INTERNAL, "Internal Server Error", message)
    return json.loads(json.dumps(workflow, default=str))


def arguments(workflow):
    parameters = workflow["spec"].get("arguments", {}).get("parameters", ())
    return {entry["name"]: entry.get("value", "") for entry in parameters}
