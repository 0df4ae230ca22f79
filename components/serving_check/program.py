"""The program of a fresh process, which loads an export and calls it with examples.

Usage: `python -I program.py REQUEST ANSWER [FOLDER ...]`. REQUEST and ANSWER are JSON files; the
folders are where TensorFlow and its requirements are installed. Like a server, the program imports
TensorFlow but none of our modules or the user's, and has nothing from the training process.

The request has `export` (a directory), `examples` (serialized, base64), `alone` (how many of them,
from the end, to send one by one as well) and `seconds`, after which SIGALRM ends the process.

The answer has `failure`, if the model could not be loaded or called; `answers`, the outputs of the
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
    site_packages = set(site.getsitepackages())
    installed = [index for index, folder in enumerate(sys.path) if folder in site_packages]
    first = min(installed, default=len(sys.path))
    sys.path[first:first] = added

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

PREDICT = "predict"


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
    """Loads and calls the model, and adds its outputs; keeps in `doing` what is being tried."""
    answer["doing"] = "be loaded"
    model = tf.saved_model.load(request["export"])
    answer["doing"] = "answer through the signature predict"
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
        answer["doing"] = f"answer through the signature {name}"
        answer["signatures"][name] = [_ask(function, examples)]
    answer["doing"] = "answer through the signature predict"
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
        for meta_graph in saved_model.meta_graphs:
            for name, signature in meta_graph.signature_def.items():
                answer["methods"][name] = signature.method_name
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
