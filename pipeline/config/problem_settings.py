"""The settings of a problem as the preflight checks, Transform, Tuner and Trainer receive them."""

from models.settings.column_settings import ColumnSettings, FeatureSettings, LabelSettings
from models.settings.training_settings import EarlyStopping, Model, Replicas, Settings, Tasks, Train
from pipeline.config import cluster_config, column_config, train_config
from pipeline.config.configuration import Config


def column_settings(config: Config) -> ColumnSettings:
    """Returns the settings of the columns, without which no feature can be resolved."""
    features = {column: _feature(feature) for column, feature in config.features.items()}
    if config.splits.key:
        # The model would memorize a key that only groups rows.
        features.setdefault(config.splits.key, FeatureSettings("ignore"))
    label = LabelSettings(
        config.label, config.task, config.log_label, config.interval, config.class_weights
    )
    further = [
        LabelSettings(name, label.task, label.log_label, class_weights=label.class_weights)
        for name, label in config.more_labels.items()
    ]
    return ColumnSettings((label, *further), features, config.derived, config.weight)


def problem_settings(config: Config, code: str) -> Settings:
    """Returns the settings of the training.

    Args:
        config: the problem's configuration.
        code: fingerprint of the code that determines the model.
    """
    return Settings(
        columns=column_settings(config),
        model=Model(config.model.name, config.model.params),
        train=train_settings(config.train),
        missing=tuple(config.data.missing_words),
        code=code,
    )


def train_settings(train: train_config.Train) -> Train:
    """Returns the settings of the training itself."""
    stopping = train.early_stopping
    return Train(
        max_steps=train.max_steps,
        epochs=train.epochs,
        batch_size=train.batch_size or 0,
        evaluate_every=train.evaluate_every or 0,
        keep_checkpoints=train.keep_checkpoints,
        early_stopping=EarlyStopping(stopping.patience) if stopping else None,
        cache_mb=train.cache_mb,
        seed=train.seed,
        cluster=_cluster(train.cluster) if train.cluster else None,
    )


def _feature(feature: column_config.Feature) -> FeatureSettings:
    return FeatureSettings(
        kind=feature.kind,
        vocabulary=feature.vocabulary,
        min_count=feature.min_count,
        oov_buckets=feature.oov_buckets,
        order=feature.order or (),
    )


def _cluster(cluster: cluster_config.Cluster) -> Tasks | Replicas:
    if cluster.mirrored:
        return Replicas(cluster.mirrored)
    return Tasks(
        workers=cluster.workers,
        parameter_servers=cluster.parameter_servers,
        evaluator=cluster.evaluator,
        max_restarts=cluster.max_restarts,
        hang_seconds=cluster.hang_seconds,
    )
