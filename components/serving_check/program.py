"""The program of a fresh process, which loads an export and calls it with examples.

Usage: `python -I program.py REQUEST ANSWER [FOLDER ...]`. REQUEST and ANSWER are JSON files; the
folders are where TensorFlow and its requirements are installed. Like a server, the program imports
TensorFlow but none of our modules or the user's, and has nothing from the training process.

The request has `export` (a directory), `examples` (serialized, base64), `alone` (how many of them,
from the end, to send one by one as well) and `seconds`, after which SIGALRM ends the process.

The answer has `python` and `files`, the operations in the graph that need Python or files outside
the export; `failure`, if the model could not be loaded or called; `answers`, the outputs of the
signature `predict` for all examples `together`, `again` and `last`, for some `alone`, and for some
`among_others`, each as a list of batches; `signatures`, the outputs of the other signatures for all
examples; `methods`, the method name of each signature; and `not_asked`, signatures that do not
take serialized examples.
"""

import base64
import json
import pathlib
import signal
import site
import sys
from typing import Any

if __name__ == "__main__":
    # `-I` ignores the folders of `pip install --user` and PYTHONPATH, where TensorFlow may be.
    added = [folder for folder in sys.argv[3:] if folder not in sys.path]
    own = [number for number, folder in enumerate(sys.path) if folder in site.getsitepackages()]
    first = min(own, default=len(sys.path))
    sys.path[first:first] = added

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

PREDICT = "predict"

PYTHON_OPS = ("EagerPyFunc", "PyFunc", "PyFuncStateless")
"""Operations that call a Python function in the process that built the graph."""

READERS = {
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

RESTORERS = {"DTensorRestoreV2": 0, "Restore": 0, "RestoreSlice": 0, "RestoreV2": 0}
"""Operations that read checkpoints; the loader uses them too, for the export's own variables."""

QUEUE_READERS = (
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

NAMED_IN_ATTRIBUTE = {
    "DecodeProtoV2": "descriptor_source",
    "DumpTensor": "log_dir_path",
    "EncodeProto": "descriptor_source",
    "FixedUnigramCandidateSampler": "vocab_file",
    "RecordInput": "file_pattern",
    "Skipgram": "filename",
}
"""Operations on files whose path is an attribute; a prefix in `_NO_FILE` means that it is none."""
_NO_FILE = ("local://", "bytes://")

_PASS_ON = ("Identity", "Reshape", "ExpandDims", "PlaceholderWithDefault")


def graph_faults(saved_model):
    """Finds the operations that need Python or files which a server does not have.

    Args:
        saved_model: the `SavedModel` proto.

    Returns:
        `python`: pairs of operation and node; `files`: triples of operation, node and path, which
        is empty if the graph computes it. Assets do not count, since the export contains them.
    """
    python, files = [], []
    for meta_graph in saved_model.meta_graphs:
        graph = _Graph(meta_graph)
        for scope in graph.scopes:
            for node in scope.nodes.values():
                if node.op in PYTHON_OPS:
                    python.append([node.op, node.name])
                    continue
                path = graph.file_of(node, scope)
                if path is not None:
                    files.append([node.op, node.name, path])
    return {"python": python, "files": files}


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
        if node.op in QUEUE_READERS:
            return ""
        if node.op in NAMED_IN_ATTRIBUTE:
            path = node.attr[NAMED_IN_ATTRIBUTE[node.op]].s.decode(errors="replace")
            return None if path.startswith(_NO_FILE) else path or None
        if node.op in RESTORERS:
            # The initializer of a variable, e.g. for a warm start, is in the graph but never runs.
            if scope is self.graph and node.name not in self.used:
                return None
            return self._path(node.input[RESTORERS[node.op]], scope)
        return self._path(node.input[READERS[node.op]], scope) if node.op in READERS else None

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


def _ask(function, examples):
    """Calls a signature with a batch; returns shape and values of each output as lists."""
    (name,) = function.structured_input_signature[1]
    outputs = function(**{name: tf.constant(examples, tf.string)})
    return {name: _plain(tensor) for name, tensor in outputs.items()}


def _plain(tensor):
    if isinstance(tensor, tf.SparseTensor):
        tensor = tf.sparse.to_dense(tensor)
    elif isinstance(tensor, tf.RaggedTensor):
        tensor = tensor.to_tensor()
    if tensor.dtype == tf.string:
        values = [value.decode(errors="replace") for value in tensor.numpy().ravel()]
    elif tensor.dtype.is_complex:
        return {"shape": list(tensor.shape), "values": [str(v) for v in tensor.numpy().ravel()]}
    else:
        values = tf.cast(tensor, tf.float64).numpy().ravel().tolist()
    return {"shape": list(tensor.shape), "values": values}


def _takes_examples(function):
    """Returns whether a signature has exactly one input, a batch of strings."""
    specs = list(function.structured_input_signature[1].values())
    return len(specs) == 1 and specs[0].dtype == tf.string and specs[0].shape.rank in (None, 1)


def _fill_in(request, answer):
    """Loads the model and calls it; keeps in `doing` what it is busy with."""
    answer["doing"] = "be loaded"
    model = tf.saved_model.load(request["export"])
    answer["doing"] = "answer by the signature predict"
    examples = [base64.b64decode(example) for example in request["examples"]]
    predict = model.signatures[PREDICT]
    if not _takes_examples(predict):
        names = ", ".join(sorted(predict.structured_input_signature[1]))
        raise ValueError(f"it takes {names}, expected one input, the serialized examples")
    answers = answer["answers"]
    if not examples:
        return
    answers["together"] = [_ask(predict, examples)]
    answers["again"] = [_ask(predict, examples)]
    # The last ones, so that answers which depend on the position in a batch differ, too.
    alone = examples[-request["alone"] :]
    answers["alone"] = [_ask(predict, [example]) for example in alone]
    answers["among_others"] = [_ask(predict, examples[::-3])]
    for name, function in sorted(model.signatures.items()):
        if name == PREDICT:
            continue
        if not _takes_examples(function):
            answer["not_asked"].append(name)
            continue
        answer["doing"] = f"answer by the signature {name}"
        answer["signatures"][name] = [_ask(function, examples)]
    answer["doing"] = "answer by the signature predict"
    answers["last"] = [_ask(predict, examples)]


def message(error):
    """Returns the line of an error that says what is wrong, without TensorFlow's traces."""
    lines = [line.strip() for line in str(getattr(error, "message", error)).splitlines()]
    around = ("Graph execution error", "Detected at node", "Node:", "File ", "[[", "<stack", "(0)")
    useful = [line for line in lines if line and not line.startswith(around)]
    return f"{type(error).__name__}: {(useful or lines or [''])[0].partition(' [[')[0]}"


def answer_to(request):
    """Returns the answer to a request; any error of the model is part of it."""
    answer: dict[str, Any] = {
        "python": [],
        "files": [],
        "failure": None,
        "doing": "be read",
        "answers": {},
        "signatures": {},
        "methods": {},
        "not_asked": [],
    }
    try:
        graph = pathlib.Path(request["export"], "saved_model.pb").read_bytes()
        saved_model = saved_model_pb2.SavedModel.FromString(graph)
        answer.update(graph_faults(saved_model))
        for meta_graph in saved_model.meta_graphs:
            for name, signature in meta_graph.signature_def.items():
                answer["methods"][name] = signature.method_name
        if not answer["python"]:
            _fill_in(request, answer)
    except Exception as error:  # a model may raise anything, which is what the check is for
        answer["failure"] = {"doing": answer["doing"], "message": message(error)}
    return answer


def main(request_path, answer_path):
    """Reads the request from one file and writes the answer to another."""
    request = json.loads(pathlib.Path(request_path).read_text(encoding="utf-8"))
    signal.alarm(request["seconds"])
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    answer = json.dumps(answer_to(request))
    pathlib.Path(answer_path).write_text(answer, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
