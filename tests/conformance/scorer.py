"""A process that loads exported models, without any of the code that made them.

It reads lines of JSON from stdin, {"export": ..., "batches": [[a base64 example, ...], ...]}, and
writes the answers of the `predict` signature to stdout, as [{output: rows}, ...].
"""

import base64
import functools
import gc
import json
import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np


class Scorer:
    """The client of the process, which starts up while the first models train."""

    def __init__(self):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __call__(
        self, export: str, batches: Sequence[Sequence[bytes]]
    ) -> list[dict[str, np.ndarray]]:
        """Returns the export's outputs for batches of serialized raw examples."""
        assert self._process.stdin and self._process.stdout
        encoded = [[base64.b64encode(example).decode() for example in batch] for batch in batches]
        self._process.stdin.write(json.dumps({"export": export, "batches": encoded}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the scorer died; its stderr says why"
        return [
            {name: np.array(rows) for name, rows in answer.items()} for answer in json.loads(line)
        ]

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def main() -> None:
    """Answers requests until stdin ends."""
    import tensorflow as tf

    load = functools.cache(tf.saved_model.load)
    for line in sys.stdin:
        request = json.loads(line)
        predict = load(request["export"]).signatures["predict"]
        answers = []
        for batch in request["batches"]:
            examples = tf.constant([base64.b64decode(example) for example in batch])
            answers.append(
                {
                    name: _plain(tensor.numpy())
                    for name, tensor in predict(examples=examples).items()
                }
            )
        print(json.dumps(answers), flush=True)


def _plain(array: np.ndarray) -> list:
    return np.char.decode(array.astype("S")).tolist() if array.dtype == object else array.tolist()


if __name__ == "__main__":
    main()
    gc.collect()  # TensorFlow complains about functions that outlive it
