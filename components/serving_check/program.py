"""The program of a fresh process: loads an export and answers examples with it.

Usage: `python -I program.py REQUEST ANSWER`, both JSON files. It imports TensorFlow and nothing of
ours or of the user's, as a server does: what the model left behind in the process that trained it
is not here.

The request has `export` (a directory), `examples` (serialized, base64), `alone` (how many of them
to ask about one by one) and `seconds`, after which the process ends itself by SIGALRM.

The answer has `python` and `files`, the operations of the graph that Python or files outside the
export are needed for; `failure`, if the model could not be loaded or did not answer; and `answers`:
what the signature `predict` says of all examples `together`, `again` and at `last`, `alone` and
`among_others`, each a list of batches, and what the other signatures say of all together.
"""

import base64
import json
import pathlib
import signal
import sys
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

PREDICT = "predict"

PYTHON_OPS = ("EagerPyFunc", "PyFunc", "PyFuncStateless")
"""They call a function of the process that made the graph."""

READERS = {
    "CSVDataset": 0,
    "CSVDatasetV2": 0,
    "FixedLengthRecordDataset": 0,
    "FixedLengthRecordDatasetV2": 0,
    "InitializeTableFromTextFile": 1,
    "InitializeTableFromTextFileV2": 1,
    "LMDBDataset": 0,
    "LoadDataset": 0,
    "MatchingFiles": 0,
    "MatchingFilesDataset": 0,
    "ReadFile": 0,
    "SqlDataset": 1,
    "TFRecordDataset": 0,
    "TFRecordDatasetV2": 0,
    "TextLineDataset": 0,
    "WriteFile": 0,
    # These read what a queue of file names holds.
    "FixedLengthRecordReaderV2": None,
    "TFRecordReaderV2": None,
    "TextLineReaderV2": None,
    "WholeFileReaderV2": None,
}
"""Operations on files, and which input is the file's path."""


def graph_faults(saved_model):
    """Finds the operations that a server has no Python or no files for.

    Args:
        saved_model: the `SavedModel` proto.

    Returns:
        `python`: pairs of operation and node; `files`: triples of operation, node and path, which
        is empty where the graph computes it. Assets, which are part of the export, do not count.
    """
    python, files = [], []
    for meta_graph in saved_model.meta_graphs:
        assets = _assets(meta_graph)
        library = meta_graph.graph_def.library.function
        scopes = [list(meta_graph.graph_def.node), *(list(each.node_def) for each in library)]
        for number, scope in enumerate(scopes):
            by_name = {node.name: node for node in scope}
            for node in scope:
                if node.op in PYTHON_OPS:
                    python.append([node.op, node.name])
                elif node.op in READERS:
                    path = _outside(node, by_name, assets if number == 0 else set())
                    if path is not None:
                        files.append([node.op, node.name, path])
    return {"python": python, "files": files}


def _assets(meta_graph):
    """The tensors that the loader feeds with the paths of assets; an Estimator has a collection."""
    found = list(meta_graph.asset_file_def)
    for packed in meta_graph.collection_def["saved_model_assets"].any_list.value:
        found.append(meta_graph_pb2.AssetFileDef.FromString(packed.value))
    return {asset.tensor_info.name for asset in found}


def _outside(reader, by_name, assets):
    """The path that a reader reads; None if it is an asset or handed in by what calls a function.

    What a function gets is captured by the object around it, which is how an asset comes in.
    """
    number = READERS[reader.op]
    if number is None:
        return ""
    tensor = reader.input[number]
    while True:
        name, _, output = tensor.partition(":")
        if f"{name}:{output.rpartition(':')[2] or 0}" in assets:
            return None
        node = by_name.get(name)
        if node is None:  # an argument of the function
            return None
        if node.op == "Const":
            values = node.attr["value"].tensor.string_val
            return values[0].decode(errors="replace") if values else ""
        if node.op not in ("Identity", "Reshape", "ExpandDims"):
            return ""
        tensor = node.input[0]


def _ask(function, examples):
    """What a signature answers to a batch, by output; numbers and texts as lists."""
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
    """Whether a signature has one input, which is a batch of texts."""
    specs = list(function.structured_input_signature[1].values())
    return len(specs) == 1 and specs[0].dtype == tf.string and specs[0].shape.rank in (None, 1)


def _fill_in(request, answer):
    """Loads the model and asks it; says in `doing` what it is at."""
    answer["doing"] = "be loaded"
    model = tf.saved_model.load(request["export"])
    answer["doing"] = "answer by the signature predict"
    examples = [base64.b64decode(example) for example in request["examples"]]
    predict = model.signatures[PREDICT]
    if not _takes_examples(predict):
        found = ", ".join(sorted(predict.structured_input_signature[1]))
        raise ValueError(f"it takes {found}, expected one input, the serialized examples")
    answers = answer["answers"]
    if not examples:
        return
    answers["together"] = [_ask(predict, examples)]
    answers["again"] = [_ask(predict, examples)]
    # From the end: what depends on the place in a batch shows itself too.
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
    """Returns the line of an error that says what is wrong, which TensorFlow puts traces around."""
    lines = [line.strip() for line in str(getattr(error, "message", error)).splitlines()]
    around = ("Graph execution error", "Detected at node", "Node:", "File ", "[[", "<stack", "(0)")
    told = [line for line in lines if line and not line.startswith(around)]
    return f"{type(error).__name__}: {(told or lines or [''])[0].partition(' [[')[0]}"


def answer_to(request):
    """Returns the answer to a request; whatever a model does wrong is part of it."""
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
    except Exception as error:  # a foreign graph may raise anything: that is what is asked for
        answer["failure"] = {"doing": answer["doing"], "message": message(error)}
    return answer


def main(request_path, answer_path):
    """Answers the request in one file with another one."""
    request = json.loads(pathlib.Path(request_path).read_text(encoding="utf-8"))
    signal.alarm(request["seconds"])
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    answer = json.dumps(answer_to(request))
    pathlib.Path(answer_path).write_text(answer, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
