"""Files of `tf.Example`s, many at a time: Beam spends more on handing one on than on reading it."""
