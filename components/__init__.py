"""Our own TFX components, one folder each, and two libraries: `tables` and `example_io`.

No component imports another, except that the Evaluator reads the serving check's report and shares
its checks of the graph. `tests/unit/test_arrows.py` enforces this.
"""
