"""The published API of Kubeflow Pipelines, read from its generated client library.

The library of the 2.x API cannot be installed beside that of 1.x. Run as a script, this file writes
a description of the 2.x API from a folder with its library:

    uv pip install --no-deps --target FOLDER kfp-server-api==2.4.0
    PYTHONPATH=FOLDER python tests/fakes/pipelines_server/published_api.py > v2beta1.json

The result belongs beside this file.
"""

import inspect
import json
import pathlib
import re
import sys

V2BETA1 = pathlib.Path(__file__).parent / "v2beta1.json"


def describe(library):
    """Returns the routes, models and enums of a generated client library."""
    routes, models, enums = [], {}, {}
    for service in vars(library).values():
        if inspect.isclass(service) and service.__name__.endswith("ServiceApi"):
            methods = inspect.getmembers(service, inspect.isfunction)
            routes += [_route(m) for name, m in methods if name.endswith("_with_http_info")]
    for name, model in vars(library.models).items():
        if not hasattr(model, "openapi_types"):
            continue
        if hasattr(model, "allowable_values"):
            enums[name] = model.allowable_values
        else:
            types = model.openapi_types.items()
            models[name] = {model.attribute_map[field]: kind for field, kind in types}
    return {"routes": routes, "models": models, "enums": enums}


def _route(method):
    code = inspect.getsource(method)
    ((path, verb),) = re.findall(r"call_api\(\s*'(.*?)', '(.*?)'", code)
    body = re.search(r":type body: (\w+)", code)
    answer = re.search(r"response_type='(.*?)'", code)
    files = re.findall(r"local_var_files\['(\w+)'\]", code)
    content = re.search(r"select_header_content_type\(.*?\['(.*?)'\]", code, re.DOTALL)
    return {
        "path": path,
        "method": verb,
        "query": re.findall(r"query_params\.append\(\('(.*?)',", code),
        "body": body and body.group(1),
        "files": files,
        "content_type": content and content.group(1),
        "answer": answer and answer.group(1),
    }


def v1beta1():
    import kfp_server_api

    return describe(kfp_server_api)


def v2beta1():
    return json.loads(V2BETA1.read_text())["api"]


if __name__ == "__main__":
    import importlib.metadata

    sys.path.pop(0)  # this folder, whose modules must not shadow installed ones
    import kfp_server_api as library

    source = (
        f"Generated from kfp-server-api {importlib.metadata.version('kfp-server-api')} "
        "(The Kubeflow Authors, Apache-2.0) by published_api.py."
    )
    print(json.dumps({"source": source, "api": describe(library)}, indent=1))
