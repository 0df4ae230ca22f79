"""Writes kfp_v2beta1.json: the types of Kubeflow Pipelines' v2beta1 API.

    pip install --no-deps --target DIR 'kfp-server-api==2.4.0'
    PYTHONPATH=DIR python make_kfp_v2beta1.py

kfp-server-api (Apache-2.0) is generated from the published API; it cannot be installed beside the
1.x that the project needs, as both are imported by the same name.
"""

import json
import pathlib

import kfp_server_api

models, enums = {}, {}
for name in dir(kfp_server_api.models):
    model = getattr(kfp_server_api.models, name)
    if allowed := getattr(model, "allowable_values", None):
        enums[name] = allowed
    elif types := getattr(model, "openapi_types", None):
        models[name] = {model.attribute_map[field]: kind for field, kind in types.items()}
target = pathlib.Path(__file__).with_name("kfp_v2beta1.json")
target.write_text(json.dumps({"models": models, "enums": enums}, indent=1, sort_keys=True) + "\n")
