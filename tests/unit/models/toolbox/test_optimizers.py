import pytest
import tensorflow as tf

from models.toolbox import optimizers


def learning_rates(max_steps: int, cycles: int) -> list[float]:
    """Returns the learning rate of each step of a run, from the summaries."""
    with tf.Graph().as_default():
        weight = tf.compat.v1.get_variable("weight", [1])
        step = optimizers.adamw(
            tf.reduce_sum(weight**2),
            [weight],
            learning_rate=0.5,
            max_steps=max_steps,
            cycles=cycles,
        )
        summaries = tf.compat.v1.summary.merge_all()
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            rates = []
            for _ in range(max_steps):
                written = tf.compat.v1.Summary.FromString(session.run(summaries))
                values = {value.tag: value.simple_value for value in written.value}
                rates.append(values["learning_rate"])
                session.run(step)
    return rates


@pytest.mark.parametrize("cycles, starts", [(1, [0]), (2, [0, 70]), (3, [0, 30, 90])])
def test_the_learning_rate_restarts_in_cycles_of_doubling_length(cycles, starts):
    rates = learning_rates(210, cycles)
    assert [n for n, rate in enumerate(rates) if rate == pytest.approx(0.5)] == starts
    for first, end in zip(starts, [*starts[1:], 210]):
        assert rates[first:end] == sorted(rates[first:end], reverse=True)
        assert rates[(first + end) // 2] == pytest.approx(0.25)
        assert rates[end - 1] < 0.005
