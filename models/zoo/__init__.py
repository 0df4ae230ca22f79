"""The models that a configuration can name, and their registry.

To add one, write its module here and enter it in `registry.MODELS`; `tests/conformance/lab.py` then
asks for a case of it.
"""
