"""TensorFlow's premade estimators on our features and heads."""
