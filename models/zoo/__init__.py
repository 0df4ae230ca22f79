"""The models that a configuration can name.

To add one, write its module here and enter it in `models.training.registry.MODELS`;
`tests/conformance/lab.py` then asks for a case of it.
"""
