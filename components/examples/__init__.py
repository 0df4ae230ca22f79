"""Files of `tf.Example`s, in batches: Beam spends more time passing an example on than reading it."""
