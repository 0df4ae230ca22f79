"""Machine learning: features, preprocessing, Keras networks, heads, model_fns and training."""
