"""What a user's `model_fn` imports: networks, heads, optimizers, parameters."""
