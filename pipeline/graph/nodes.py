"""The ids of nodes that other modules ask for, and the splits that nodes read; without imports."""

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
