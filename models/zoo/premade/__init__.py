"""TensorFlow's premade estimators with our features and heads."""
