"""Files of `tf.Example`s, in batches: Beam takes longer to pass on an example than to read it."""
