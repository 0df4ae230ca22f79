"""What is learned: features, preprocessing, Keras networks, heads, model_fns, training."""
