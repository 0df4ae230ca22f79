"""Beam's in-process runner, extended by worker processes and counts of the rows read."""

from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.utils import thread_pool_executor

from pipeline.beam import row_progress, workers


class Runner(fn_runner.FnApiRunner):
    """Runner that lets `row_progress` watch its stages and uses `workers` if any."""

    def __init__(self):
        super().__init__(workers.Environment.default() if workers.count > 1 else None)

    def run_via_runner_api(self, pipeline_proto, options):  # noqa: D102 (Beam's)
        self._num_workers = workers.count
        return super().run_via_runner_api(pipeline_proto, options)

    def _execute_bundle(self, runner_execution_context, bundle_context_manager, bundle_input):
        with row_progress.watching_stage(bundle_context_manager) as record_end:
            result = super()._execute_bundle(
                runner_execution_context, bundle_context_manager, bundle_input
            )
            record_end(result.process_bundle.monitoring_infos)
        return result

    def _get_bundle_manager(self, bundle_context_manager):
        manager = super()._get_bundle_manager(bundle_context_manager)
        if isinstance(manager, fn_runner.ParallelBundleManager):
            manager = _InOrder(
                bundle_context_manager,
                self._progress_frequency,
                cache_token_generator=manager._cache_token_generator,
            )
        return manager


class _Part:
    """A worker's part of a bundle: the whole bundle, except for its worker, inputs and outputs."""

    def __init__(self, whole: Any, worker_index: int):
        self._whole = whole
        self.worker_handlers = [whole.worker_handlers[worker_index]]
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[tuple[Any, str], list[bytes]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def get_buffer(self, buffer_id: Any, transform_id: str) -> list[bytes]:
        return self.outputs.setdefault((buffer_id, transform_id), [])


class _InOrder(fn_runner.ParallelBundleManager):
    """Bundle manager that concatenates the workers' outputs in a fixed order.

    Beam's own takes them as they arrive. Sums in another order differ in their last digits, and
    examples in another order train another model.
    """

    def process_bundle(
        self, inputs, expected_outputs, fired_timers, expected_output_timers, dry_run=False
    ):
        if expected_output_timers:
            return super().process_bundle(
                inputs, expected_outputs, fired_timers, expected_output_timers, dry_run
            )
        whole = self.bundle_context_manager
        parts = [_Part(whole, index) for index in range(self._num_workers)]
        for name, buffer in inputs.items():
            for part, mine in zip(parts, buffer.partition(len(parts))):
                part.inputs[name] = mine

        def process(part: Any) -> tuple[Any, list]:
            manager = fn_runner.BundleManager(
                part, self._progress_frequency, self._cache_token_generator
            )
            try:
                return manager.process_bundle(part.inputs, expected_outputs, {}, {}, dry_run)
            except RuntimeError as error:
                (worker,) = part.worker_handlers
                raise worker.failure(str(error)) from error

        with thread_pool_executor.shared_unbounded_instance() as executor:
            results, splits = zip(*executor.map(process, parts))
        for part in parts:
            for buffer_key, output in part.outputs.items():
                buffer = whole.get_buffer(*buffer_key)
                for data in output:
                    buffer.append(data)
        infos = (info for result in results for info in result.process_bundle.monitoring_infos)
        merged = beam_fn_api_pb2.InstructionResponse(
            process_bundle=beam_fn_api_pb2.ProcessBundleResponse(
                monitoring_infos=fn_runner.monitoring_infos.consolidate(infos)
            )
        )
        return merged, [split for of_part in splits for split in of_part]
