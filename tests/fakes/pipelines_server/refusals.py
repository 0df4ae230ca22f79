"""Refusals of Kubeflow Pipelines, in the words of 1.8.5 and, with `is_2x`, of 2.17.0.

A refusal has a short message for the user and a long one for developers. `api_server` says which of
them reaches the client.
"""

# The gRPC codes in KFP's errors.
INVALID, NOT_FOUND, EXISTS, DENIED, INTERNAL, UNAUTHENTICATED = 3, 5, 6, 7, 13, 16


class Refused(Exception):
    """A request that the server refuses.

    Args:
        code: a gRPC code.
        message: the short message.
        details: the long message; by default the short one.
    """

    def __init__(self, code, message, details=""):
        super().__init__(message)
        self.code, self.message = code, message
        self.details = details or message


def internal(cause):
    """common/util/error.go, NewInternalServerError: hides the cause from the user."""
    return Refused(INTERNAL, "Internal Server Error", f"InternalServerError: {cause}")


def not_found(kind, entry_id, is_2x):
    """common/util/error.go, NewResourceNotFoundError."""
    title = {"version": "PipelineVersion"}.get(kind, kind.capitalize())
    message = f"{title} {entry_id} not found{'' if is_2x else '.'}"
    return Refused(NOT_FOUND, message, f"ResourceNotFoundError: {message}")


def taken(kind, name, is_2x):
    """apiserver/storage, experiment_store.go and pipeline_store.go."""
    if not is_2x:
        return Refused(EXISTS, f"The name {name} already exist. Please specify a new name.")
    title = {"version": "pipeline version"}.get(kind, kind)
    says = "already exist. Specify" if kind == "version" else "already exists. Please specify"
    return Refused(EXISTS, f"Failed to create a new {title}. The name {name} {says} a new name")


def unnamed(kind, is_2x):
    """apiserver/server/api_converter.go, toModelExperiment, toModelJob and toModelRun."""
    title = {"job": "Recurring run"}.get(kind, kind.capitalize())
    if is_2x:
        return internal(f"Invalid input error: {title} name cannot be empty")
    return Refused(INVALID, f"{title} name is empty. Please specify a valid name.")


def concurrency(count, is_2x):
    """apiserver/server/api_converter.go, toModelJob; in 1.8.5 job_server.go, validateCreateJob."""
    if is_2x:
        message = "Max concurrency of a recurring run must be at least 1 and at most 10."
        return Refused(INVALID, f"{message} Received {count}")
    message = "The max concurrency of the job is out of range. Support 1-10."
    return Refused(INVALID, f"{message} Received {count}.")


def cron(error):
    """apiserver/server/api_converter.go, toModelJob."""
    message = "Schedule cron is not a supported format(https://godoc.org/github.com/robfig/cron)."
    return Refused(INVALID, f"{message} Error: {error}")


def unknown_parameter(name, is_2x):
    """common/util/workflow.go, VerifyParameters; resource/resource_manager.go, CreateRun."""
    message = f"Unrecognized input parameter: {name}"
    cause = f"Failed to verify parameters: Invalid input error: {message}"
    if is_2x:  # 2.x wraps the error,
        return Refused(INVALID, message, f"Failed to generate the ExecutionSpec: {cause}")
    return internal(f"failed to generate the workflow.: {cause}")  # 1.8.5 raises another


def no_source(is_2x):
    """apiserver/resource/resource_manager.go, fetchTemplateFromPipelineSpec."""
    if is_2x:
        return internal("Failed to fetch a template with an empty pipeline spec manifest")
    return Refused(
        INVALID,
        "Please specify a pipeline by providing a (workflow manifest or pipeline manifest) or "
        "(pipeline id or/and pipeline version)",
    )


def other_pipeline(version, pipeline_id):
    """apiserver/resource/resource_manager.go, fetchPipelineVersionFromPipelineSpec."""
    belongs = f"belongs to pipeline {version.pipeline} (not {pipeline_id})"
    return Refused(INVALID, f"Pipeline version {version.id} {belongs}")


def unauthenticated(is_2x):
    """apiserver/resource/resource_manager.go, IsAuthorized."""
    if is_2x:
        empty = "User identity is empty in the request header"
        return Refused(UNAUTHENTICATED, f"Failed to check authorization. {empty}")
    message = "Request header error: there is no user identity header."
    return Refused(UNAUTHENTICATED, message)


def not_authorized(user, namespace, verb, resource):
    """apiserver/resource/resource_manager.go, IsAuthorized."""
    attributes = (
        f"Namespace:{namespace},Verb:{verb},Group:pipelines.kubeflow.org,Version:v1beta1,"
        f"Resource:{resource},Subresource:,Name:,FieldSelector:nil,LabelSelector:nil,"
    )
    return Refused(
        DENIED,
        f"User '{user}' is not authorized with reason:  "
        f"(request: &ResourceAttributes{{{attributes}}})",
        "PermissionDenied: Unauthorized access",
    )
