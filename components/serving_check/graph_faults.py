"""Operations in an export's graph that need what only the training machine has."""

import dataclasses

from etils import epath
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from models.training import export_manifest

_MANY = 2
"""Maximum number of operations of one kind to report."""

_PYTHON_OPS = ("EagerPyFunc", "PyFunc", "PyFuncStateless")
"""Operations that call a Python function in the process that built the graph."""

_READERS = {
    "CSVDataset": 0,
    "CSVDatasetV2": 0,
    "CacheDataset": 1,
    "CacheDatasetV2": 1,
    "CreateSummaryDbWriter": 1,
    "CreateSummaryFileWriter": 1,
    "DatasetToTFRecord": 1,
    "DistributedSave": 1,
    "ExperimentalCSVDataset": 0,
    "ExperimentalDatasetToTFRecord": 1,
    "ExperimentalLMDBDataset": 0,
    "ExperimentalMatchingFilesDataset": 0,
    "ExperimentalSqlDataset": 1,
    "FixedLengthRecordDataset": 0,
    "FixedLengthRecordDatasetV2": 0,
    "GenerateVocabRemapping": 0,
    "InitializeTRTResource": 1,
    "InitializeTableFromTextFile": 1,
    "InitializeTableFromTextFileV2": 1,
    "LMDBDataset": 0,
    "LoadAndRemapMatrix": 0,
    "LoadDataset": 0,
    "MatchingFiles": 0,
    "MatchingFilesDataset": 0,
    "ReadFile": 0,
    "SaveDataset": 1,
    "SaveDatasetV2": 1,
    "SnapshotChunkDataset": 0,
    "SnapshotDataset": 1,
    "SnapshotDatasetReader": 0,
    "SnapshotDatasetV2": 1,
    "SqlDataset": 1,
    "TFRecordDataset": 0,
    "TFRecordDatasetV2": 0,
    "TextLineDataset": 0,
    "WriteFile": 0,
}
"""Operations on files, with the index of the input that is the path."""

_RESTORERS = {"DTensorRestoreV2": 0, "Restore": 0, "RestoreSlice": 0, "RestoreV2": 0}
"""Operations that read checkpoints; the loader uses them too, for the export's own variables."""

_QUEUE_READERS = (
    "FixedLengthRecordReader",
    "FixedLengthRecordReaderV2",
    "LMDBReader",
    "TFRecordReader",
    "TFRecordReaderV2",
    "TextLineReader",
    "TextLineReaderV2",
    "WholeFileReader",
    "WholeFileReaderV2",
)
"""Operations that read the files named in a queue."""

_PATH_ATTRIBUTES = {
    "DecodeProtoV2": "descriptor_source",
    "DumpTensor": "log_dir_path",
    "EncodeProto": "descriptor_source",
    "FixedUnigramCandidateSampler": "vocab_file",
    "RecordInput": "file_pattern",
    "Skipgram": "filename",
}
"""Operations on files, with the attribute that has the path, unless it begins as in `_NO_FILE`."""
_NO_FILE = ("local://", "bytes://")

_PASS_ON = ("Identity", "Reshape", "ExpandDims", "PlaceholderWithDefault")


@dataclasses.dataclass(frozen=True)
class Faults:
    """Operations that a server cannot run.

    Attributes:
        python: operation and node of each call of a Python function.
        files: operation, node and path of each use of a file that is not part of the export; the
            path is empty if the graph computes it.
    """

    python: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str, str], ...]

    def sentences(self) -> list[str]:
        """Returns the findings of a report."""
        findings = [
            f"The export calls a Python function ({op}, node {node}), which exists only in the "
            "process that trained the model; use TensorFlow operations instead"
            for op, node in self.python[:_MANY]
        ]
        for op, node, path in self.files[:_MANY]:
            what = f"the file {path}" if path else "files"
            findings.append(
                f"The export uses {what} ({op}, node {node}), which a server does not have; keep "
                "the content in a constant, or export the file as an asset (tf.saved_model.Asset)"
            )
        return findings


class UnreadableGraph(ValueError):
    """The graph of an export is missing or is not a `SavedModel` proto."""


def of_export(export: str) -> Faults:
    """Returns the faults of an export.

    Raises:
        UnreadableGraph: the graph cannot be read.
    """
    try:
        graph = (epath.Path(export) / export_manifest.GRAPH).read_bytes()
        return of_graph(saved_model_pb2.SavedModel.FromString(graph))
    except (OSError, DecodeError) as error:
        raise UnreadableGraph(f"{type(error).__name__}: {error}") from None


def of_graph(saved_model: saved_model_pb2.SavedModel) -> Faults:
    """Returns the faults of a graph and its functions."""
    python, files = [], []
    for meta_graph in saved_model.meta_graphs:
        graph = _Graph(meta_graph)
        for scope in graph.scopes:
            for node in scope.nodes.values():
                if node.op in _PYTHON_OPS:
                    python.append((node.op, node.name))
                    continue
                path = graph.file_of(node, scope)
                if path is not None:
                    files.append((node.op, node.name, path))
    return Faults(tuple(python), tuple(files))


class _Scope:
    """The nodes of a graph or function by name, and the names of its arguments."""

    def __init__(self, nodes, arguments=()):
        self.nodes = {node.name: node for node in nodes}
        self.arguments = list(arguments)


class _Graph:
    """A graph with its functions, searched for the origin of file paths."""

    def __init__(self, meta_graph):
        self.graph = _Scope(meta_graph.graph_def.node)
        self.functions = {
            function.signature.name: _Scope(
                function.node_def, [argument.name for argument in function.signature.input_arg]
            )
            for function in meta_graph.graph_def.library.function
        }
        # The loader feeds these: the paths of assets, and of the export's own variables.
        self.fed = _assets(meta_graph) | {meta_graph.saver_def.filename_tensor_name}
        self.used = self._used(meta_graph)
        self.callers: dict[str, list] = {}
        for scope in self.scopes:
            for node in scope.nodes.values():
                for name in _functions(node) & self.functions.keys():
                    self.callers.setdefault(name, []).append((scope, node))

    @property
    def scopes(self):
        """The graph itself and its functions."""
        return [self.graph, *self.functions.values()]

    def file_of(self, node, scope):
        """Returns the path of the file that a node works on; empty if the graph computes it.

        None means no file, a file of the export, or a path that only the caller knows.
        """
        if node.op in _QUEUE_READERS:
            return ""
        if node.op in _PATH_ATTRIBUTES:
            path = node.attr[_PATH_ATTRIBUTES[node.op]].s.decode(errors="replace")
            return None if path.startswith(_NO_FILE) else path or None
        if node.op in _RESTORERS:
            # The initializer of a variable, e.g. for a warm start, is in the graph but never runs.
            if scope is self.graph and node.name not in self.used:
                return None
            return self._path(node.input[_RESTORERS[node.op]], scope)
        return self._path(node.input[_READERS[node.op]], scope) if node.op in _READERS else None

    def _path(self, tensor, scope, called=()):
        """Returns the path in a tensor, as `file_of` does; `called` are the functions traversed."""
        while True:
            name, _, output = tensor.partition(":")
            if scope is self.graph and f"{name}:{output or 0}" in self.fed:
                return None
            node = scope.nodes.get(name)
            if node is None:
                return self._path_of_argument(name, scope, called)
            if node.op == "Const":
                values = node.attr["value"].tensor.string_val
                return (values[0].decode(errors="replace") if values else "") or None
            if node.op not in _PASS_ON:
                return ""
            tensor = node.input[0]

    def _path_of_argument(self, argument, scope, called):
        """Returns the path that a function's argument has in the first call with one, or None."""
        function = next(name for name, body in self.functions.items() if body is scope)
        if function in called or argument not in scope.arguments:
            return None
        # Captured tensors come after the other arguments.
        from_the_end = scope.arguments.index(argument) - len(scope.arguments)
        for caller_scope, node in self.callers.get(function, ()):
            inputs = [name for name in node.input if not name.startswith("^")]
            if "Targuments" in node.attr:  # a dataset has further inputs around them
                inputs = inputs[1 : 1 + len(node.attr["Targuments"].list.type)]
            if -from_the_end <= len(inputs):
                path = self._path(inputs[from_the_end], caller_scope, (*called, function))
                if path:
                    return path
        return None

    def _used(self, meta_graph):
        """Returns the nodes that signatures and the operations run at loading depend on."""
        pending = [
            output.name
            for signature in meta_graph.signature_def.values()
            for output in signature.outputs.values()
        ]
        for key in ("saved_model_main_op", "legacy_init_op"):
            pending += meta_graph.collection_def[key].node_list.value
        used = set()
        while pending:
            name = pending.pop().removeprefix("^").partition(":")[0]
            if name in self.graph.nodes and name not in used:
                used.add(name)
                pending += self.graph.nodes[name].input
        return used


def _functions(node):
    """Returns the names of the functions that a node may call."""
    attributes = node.attr.values()
    named = {attribute.func.name for attribute in attributes if attribute.HasField("func")}
    return {node.op} | named | {call.name for value in attributes for call in value.list.func}


def _assets(meta_graph):
    """Returns the tensors that the loader feeds with asset paths; Estimators use a collection."""
    assets = list(meta_graph.asset_file_def)
    for packed in meta_graph.collection_def["saved_model_assets"].any_list.value:
        assets.append(meta_graph_pb2.AssetFileDef.FromString(packed.value))
    return {asset.tensor_info.name for asset in assets}
