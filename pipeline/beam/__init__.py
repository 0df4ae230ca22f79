"""The in-process Beam runner, its workers, and everything that uses Beam's private API.

`patches` replaces functions of Beam for the time of a run, `runner` and `workers` extend Beam's own
runner and its workers, `row_progress` asks running stages for their counters, and `dag_runner`
extends TFX's orchestrator. Nothing else in the project uses the names below.
"""

_RUNNER = "apache_beam.runners.portability.fn_api_runner.fn_runner"
_HANDLERS = "apache_beam.runners.portability.fn_api_runner.worker_handlers"
_LAUNCHER = "tfx.orchestration.portable.launcher"

PRIVATE_NAMES = {
    # Beam
    "apache_beam.internal.cloudpickle_pickler:bz2": "patched: it compresses what stays here",
    "apache_beam.runners.worker.statecache:objsize": "patched: it lists the variables of modules",
    "apache_beam.transforms.core:get_function_args_defaults": "patched: it inspects repeatedly",
    "apache_beam.transforms.core:CombinePerKey.with_hot_key_fanout": "patched: StatisticsGen",
    "apache_beam.options.pipeline_options:PipelineOptions._all_options": "shared by all views",
    f"{_RUNNER}:FnApiRunner._num_workers": "the number of workers",
    f"{_RUNNER}:FnApiRunner._progress_frequency": "for our bundle manager",
    f"{_RUNNER}:FnApiRunner._execute_bundle": "overridden: the stage that reports rows",
    f"{_RUNNER}:FnApiRunner._get_bundle_manager": "overridden: outputs in a fixed order",
    f"{_RUNNER}:BundleManager._cache_token_generator": "for our bundle manager",
    f"{_RUNNER}:ParallelBundleManager._num_workers": "the parts of a bundle",
    f"{_RUNNER}:monitoring_infos.consolidate": "adds up the parts' counters",
    f"{_HANDLERS}:GrpcWorkerHandler.control_conn": "wrapped: a worker that ends answers",
    f"{_HANDLERS}:ControlConnection._futures_by_id": "requests that an ended worker left",
    f"{_HANDLERS}:FNAPI_RUNNER_CAPABILITIES": "for the workers",
    f"{_HANDLERS}:EmbeddedWorkerHandler.bundle_processor_cache": "asked for a bundle's counters",
    # TFX
    "tfx.orchestration.beam.beam_dag_runner:BeamDagRunner._PIPELINE_NODE_DO_FN_CLS": "replaced",
    "tfx.orchestration.beam.beam_dag_runner:PipelineNodeAsDoFn._run_node": "overridden: progress",
    f"{_LAUNCHER}:Launcher._run_executor": "overridden: rows read",
    f"{_LAUNCHER}:Launcher._publish_successful_execution": "overridden: a locked store",
    f"{_LAUNCHER}:Launcher._publish_failed_execution": "overridden: a locked store",
}
"""Every name of Beam and its orchestrator that is private or patched, as `module:name`, and why."""
