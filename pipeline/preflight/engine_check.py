"""Checks before anything runs that the engine of the data-parallel steps answers."""

import shutil
import socket
from collections.abc import Iterator

from models.errors import UserError
from pipeline.config import beam_config
from pipeline.config.beam_config import ENGINES, JOB_ENDPOINT, Beam
from pipeline.config.pydantic_types import Address

_PATIENCE = 5.0
"""Seconds to wait for an answer."""
_METHOD = "/org.apache.beam.model.job_management.v1.JobService/DescribePipelineOptions"
_JOB_SERVER = "a Beam job server"


def check_engine(beam: Beam) -> None:
    """Checks that something listens at each address of the engine that this process connects to.

    Flink and Spark take jobs through Beam's job server, which Beam starts with `java`, unless the
    arguments name a running one.

    Raises:
        UserError: nothing does, or it is no job server where one is expected; or `java` is missing.
    """
    if _starts_job_server(beam) and not shutil.which("java"):
        raise UserError(
            f"beam.engine: {beam.engine} needs Beam's job server, but java, which would start it, "
            "is not on PATH; install Java 11 or 17, or give --job_endpoint in beam.args"
        )
    for key, name, address, title in _addresses(beam):
        problem = _no_job_server(address) if name == JOB_ENDPOINT else _silence(address)
        if problem:
            raise UserError(
                f"{key}: found {address}, tried to connect to {address.host}, port {address.port}: "
                f"{problem}; expected {title}: start it or correct the address"
            )


def _starts_job_server(beam: Beam) -> bool:
    given = any(beam_config.option(argument) == JOB_ENDPOINT for argument in beam.args)
    return beam.engine in ("flink", "spark") and not given


def _addresses(beam: Beam) -> Iterator[tuple[str, str, Address, str]]:
    """Yields for each address its key, Beam's option, the address and what it should be."""
    if beam.engine and beam.master:
        engine = ENGINES[beam.engine]
        yield "beam.master", engine.master, beam.master, engine.title
    for argument in beam.args:
        name, _, value = argument.partition("=")
        if name == JOB_ENDPOINT and value != "embed":  # "embed": within this process
            try:
                yield "beam.args", name, Address.validate(value), _JOB_SERVER
            except ValueError as error:
                raise UserError(f"beam.args: {name}: {error}, found {value!r}") from None
    if beam.engine == "prism" and beam.worker_pool:  # without its pool Prism crashes
        yield "beam.worker_pool", "", beam.worker_pool, "a worker pool"


def _silence(address: Address) -> str:
    try:
        with socket.create_connection((address.host, address.port), _PATIENCE):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _no_job_server(address: Address) -> str:
    """Returns why an address is not that of a job server: asks it for its options."""
    if problem := _silence(address):
        return problem
    import grpc  # takes a moment, which other runs should not need

    with grpc.insecure_channel(address) as channel:
        describe = channel.unary_unary(_METHOD, lambda request: request, lambda answer: answer)
        try:
            describe(b"", timeout=_PATIENCE)
        except grpc.RpcError as error:
            return f"it is no Beam job server ({error.code().name})"
    return ""
