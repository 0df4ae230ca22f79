"""The `beam` section of a configuration: where the data-parallel steps run."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pydantic

from pipeline.config.pydantic_types import Address, Count, Mistakes, Section, refuse

JOB_ENDPOINT = "--job_endpoint"
"""Beam's option for the address of a job server."""
_ENVIRONMENT = ("--environment_type", "--environment_config")


@dataclasses.dataclass(frozen=True)
class Engine:
    """A system that Beam can run steps on, and Beam's names for it and its options.

    Attributes:
        runner: the class of Beam that submits steps to it.
        title: what has to listen at its `master`.
        master: the option that holds the address; empty if it has none.
        scheme: what the option expects before the address.
        parallelism: the option that holds `parallelism`; empty if it has none.
        own: how the names of the options begin that no other engine has.
        required: options that must be among `args`.
        has_pools: whether its workers are started by worker pools.
    """

    runner: str
    title: str = ""
    master: str = ""
    scheme: str = ""
    parallelism: str = ""
    own: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    has_pools: bool = True


ENGINES = {
    "prism": Engine("PortableRunner", "Prism's job endpoint", JOB_ENDPOINT, own=("--prism_",)),
    "flink": Engine(
        "FlinkRunner",
        "Flink's job manager",
        "--flink_master",
        parallelism="--parallelism",
        own=("--flink_", "--parallelism", "--max_parallelism"),
    ),
    "spark": Engine(
        "SparkRunner", "Spark's master", "--spark_master_url", scheme="spark://", own=("--spark_",)
    ),
    "dataflow": Engine(
        "DataflowRunner",
        own=("--dataflow_",),
        required=("--project", "--region", "--temp_location", "--sdk_container_image"),
        has_pools=False,
    ),
}
"""The engines, by their names in a configuration."""


class Beam(Section):
    """The `beam` section: where the data-parallel steps run.

    Attributes:
        engine: the engine that runs them; by default this machine, or what `args` name.
        master: the engine's address.
        parallelism: the number of parallel tasks of a step.
        worker_pool: the address where the engine's machines find their worker pool.
        args: further arguments of Beam's command line.
        workers: the number of worker processes on this machine; by default
            `pipeline.local.worker_count`.
    """

    engine: Literal["prism", "flink", "spark", "dataflow"] | None = None
    master: Address | None = None
    parallelism: Count | None = None
    worker_pool: Address | None = None
    args: tuple[pydantic.StrictStr, ...] = ()
    workers: Count | None = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether the steps run outside this process and its workers."""
        return bool(self.engine or self.args)

    @pydantic.root_validator(skip_on_failure=True)
    def _fits_engine(cls, values):
        name = values["engine"]
        refuse([*_workers(values), *(_of_engine(name, values) if name else _without(values))])
        return values

    def arguments(self) -> list[str]:
        """Returns Beam's arguments for the engine, with `args` last; without one only `args`."""
        if self.engine is None:
            return [*self.args]
        engine = ENGINES[self.engine]
        written = [f"--runner={engine.runner}"]
        if self.master:
            written.append(f"{engine.master}={engine.scheme}{self.master}")
        if self.parallelism:
            written.append(f"{engine.parallelism}={self.parallelism}")
        if self.worker_pool:
            written += ["--environment_type=EXTERNAL", f"--environment_config={self.worker_pool}"]
        elif engine.has_pools and not _among(_ENVIRONMENT, self.args):
            # Workers in this process: only an engine of this machine reaches it.
            written.append("--environment_type=LOOPBACK")
        return [*written, *self.args]


def option(argument: str) -> str:
    """Returns the name of the option in an argument, as `--parallelism` of `--parallelism=8`."""
    return argument.partition("=")[0]


def _among(options: Iterable[str], arguments: Iterable[str]) -> list[str]:
    given = {option(argument) for argument in arguments}
    return [name for name in options if name in given]


def _workers(values: Mapping[str, Any]) -> Mistakes:
    if values["workers"] and (values["engine"] or values["args"]):
        by = "beam.engine names another one" if values["engine"] else "beam.args name an engine"
        return [(("workers",), f"only for runs on this machine, but {by}; remove one of the two")]
    return []


def _without(values: Mapping[str, Any]) -> Mistakes:
    return [
        ((key,), f"only beside beam.engine; add it ({', '.join(ENGINES)}) or remove this key")
        for key in ("master", "parallelism", "worker_pool")
        if values[key]
    ]


def _of_engine(name: str, values: Mapping[str, Any]) -> Mistakes:
    engine, args = ENGINES[name], values["args"]
    supported = {
        "master": engine.master,
        "parallelism": engine.parallelism,
        "worker_pool": engine.has_pools,
    }
    mistakes: Mistakes = [
        ((key,), f"{name} has no such option; remove it")
        for key, has in supported.items()
        if values[key] and not has
    ]
    endpoint = _among([JOB_ENDPOINT], args)
    if engine.master and not values["master"] and not (endpoint and engine.master != JOB_ENDPOINT):
        mistakes.append(
            (("master",), f"missing; add the address of {engine.title}, such as host:8081")
        )
    if (
        name in ("flink", "spark")
        and not values["worker_pool"]
        and not _among(_ENVIRONMENT[:1], args)
    ):
        message = (
            "missing; add where each of the engine's machines finds its worker pool, such as "
            "localhost:50000, or --environment_type to beam.args"
        )
        mistakes.append((("worker_pool",), message))
    given = _among(engine.required, args)
    if lacking := [required for required in engine.required if required not in given]:
        mistakes.append((("args",), f"{name} needs {', '.join(lacking)} too; add them"))
    return mistakes + [(("args",), text) for text in _contradictions(name, values)]


def _contradictions(name: str, values: Mapping[str, Any]) -> Iterable[str]:
    """Yields what is wrong with `args` beside the engine and its keys."""
    engine = ENGINES[name]
    written = {engine.master: "master", engine.parallelism: "parallelism"}
    written.pop("", None)
    if values["worker_pool"]:
        written |= dict.fromkeys(_ENVIRONMENT, "worker_pool")
    for argument in map(option, values["args"]):
        if argument == "--runner":
            yield f"{argument} beside beam.engine, which sets it; remove one of the two"
        elif argument in written:
            key = written[argument]
            yield f"{argument} is set by beam.{key}; remove it and give beam.{key}"
        for other, theirs in ENGINES.items():
            if other != name and re.match("|".join(theirs.own), argument):
                yield f"{argument} is an option of {other}, but beam.engine is {name}; remove it"
