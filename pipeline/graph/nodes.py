"""The ids of the pipeline's nodes, without imports, which take seconds."""

EXAMPLE_GEN = "TableExampleGen"
STATISTICS_GEN = "StatisticsGen"
TRANSFORM = "Transform"
TUNER = "Tuner"
TRAINER = "Trainer"
BASELINE = "Baseline"
EVALUATOR = "Evaluator"
PUSHER = "Pusher"

TRANSFORM_ANALYZES = ("train",)
TRANSFORM_TRANSFORMS = ("train", "eval")
READS = {
    STATISTICS_GEN: ("train", "eval", "test"),
    TRANSFORM: (*TRANSFORM_ANALYZES, *TRANSFORM_TRANSFORMS),
    EVALUATOR: ("test",),
}
"""The splits that a node reads with Beam; one that it reads twice is named twice."""
