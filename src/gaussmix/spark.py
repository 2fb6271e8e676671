"""`GaussianMixture` as a `pyspark.ml` Estimator, which fits a mixture to a column of vectors in a Pipeline."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, Self

from pyspark.ml import Estimator, Model
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import (
    HasFeaturesCol,
    HasMaxIter,
    HasPredictionCol,
    HasProbabilityCol,
    HasSeed,
    HasTol,
    HasWeightCol,
)
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsReader, DefaultParamsWritable, DefaultParamsWriter
from pyspark.sql import functions

from gaussmix._src.estimators import gaussian_mixture
from gaussmix._src.families.base import family_named
from gaussmix._src.sources.opening import open
from gaussmix._src.sources.spark.table import column_of

__all__ = ["GaussianMixture", "GaussianMixtureModel"]


def _param(name: str, says: str, converter: Callable[[Any], Any]) -> Any:
    return Param(Params._dummy(), name, says, converter)


class _Settings(
    HasFeaturesCol,
    HasPredictionCol,
    HasProbabilityCol,
    HasWeightCol,
    HasMaxIter,
    HasTol,
    HasSeed,
    DefaultParamsReadable,
    DefaultParamsWritable,
):
    """Parameters that the Spark Estimator and the Spark Model share."""

    k: Any = _param("k", "number of components", TypeConverters.toInt)
    covarianceType: Any = _param("covarianceType", "covariance structure", TypeConverters.toString)
    nFactors: Any = _param("nFactors", "number of factors of each component", TypeConverters.toInt)
    regCovar: Any = _param("regCovar", "value added to every variance; default: automatic", TypeConverters.toFloat)
    nInit: Any = _param("nInit", "number of runs of each random initialisation", TypeConverters.toInt)
    initParams: Any = _param("initParams", "methods of initialisation, such as kmeans", TypeConverters.toListString)
    logDensityCol: Any = _param("logDensityCol", "name of a new column for log p(x), nats", TypeConverters.toString)

    def __init__(self, **parameters: Any) -> None:
        super().__init__()
        ours = gaussian_mixture.GaussianMixture().get_params()
        self._setDefault(k=ours["n_components"], covarianceType=ours["covariance_type"], nInit=ours["n_init"])
        self._setDefault(initParams=[ours["init_params"]], maxIter=ours["max_iter"], tol=ours["tol"], seed=0)
        self._set(**parameters)

    def setParams(self, **parameters: Any) -> Self:
        """Set parameters, which are passed as keyword arguments."""
        self._set(**parameters)
        return self

    def _get_if_set(self, name: str) -> Any:
        return self.getOrDefault(name) if self.isDefined(name) else None

    def _feature_columns(self, dataset: Any, names: Sequence[str]) -> dict[str, Any]:
        """Return a dict from names to columns, one for each element of the vectors."""
        whole, wrong = self._array(dataset), f"{self.getFeaturesCol()}: a row does not have {len(names)} numbers"
        missing = column_of(self.getFeaturesCol()).isNull()  # If a vector is null, its elements are null.
        checked = (
            functions.when(missing, None)
            .when(functions.size(whole) == len(names), whole)
            .otherwise(functions.raise_error(functions.lit(wrong)))
        )
        return {name: checked[index] for index, name in enumerate(names)}

    def _array(self, dataset: Any) -> Any:
        """Return the features of all rows as a column of arrays."""
        name = self.getFeaturesCol()
        column = column_of(name)
        return vector_to_array(column) if isinstance(dataset.schema[name].dataType, VectorUDT) else column


class GaussianMixture(_Settings, Estimator):
    """A Spark Estimator that fits a Gaussian mixture by EM to a column of vectors or of numeric arrays.

    Rows stay on the executors, and the result is bit-identical to a fit by `gaussmix.GaussianMixture` in memory.

    Parameters
    ----------
    parameters : keyword arguments. The names featuresCol, predictionCol, probabilityCol, weightCol, k, maxIter, tol and
        seed are from `pyspark.ml.clustering.GaussianMixture`. The names covarianceType, nFactors, regCovar, nInit and
        initParams stand for parameters of `gaussmix.GaussianMixture`. logDensityCol is the name of a new column for log
        densities, in nats, which is added only if this name is set.
    """

    def _fit(self, dataset: Any) -> GaussianMixtureModel:
        features = self.getFeaturesCol()
        complete = dataset.where(column_of(features).isNotNull())
        first = complete.select(functions.size(self._array(dataset)).alias("size")).head()
        if first is None:
            raise ValueError(f"The Spark data frame has no row with a feature vector in column {features!r}.")
        names = [f"{features}[{index}]" for index in range(first["size"])]
        chosen = [column.alias(name) for name, column in self._feature_columns(dataset, names).items()]
        weight, ridge = self._get_if_set("weightCol"), self._get_if_set("regCovar")
        if weight is not None:
            chosen.append(column_of(weight))
        n_factors = self._get_if_set("nFactors")
        options = {} if n_factors is None else {"n_factors": n_factors}
        estimator = gaussian_mixture.GaussianMixture(
            self.getOrDefault("k"),
            covariance_type=family_named(self.getOrDefault("covarianceType"), **options),
            reg_covar="auto" if ridge is None else ridge,
            n_init=self.getOrDefault("nInit"),
            init_params=self.getOrDefault("initParams"),
            max_iter=self.getMaxIter(),
            tol=self.getTol(),
            random_state=self.getSeed(),
        )
        source: Any = open(dataset.select(chosen), columns=names, weights=weight)
        return self._copyValues(GaussianMixtureModel(estimator.fit(source)))


class GaussianMixtureModel(_Settings, Model):
    """A Spark Model with a fitted mixture, which adds columns of labels, responsibilities and log densities.

    Parameters
    ----------
    estimator : a fitted `gaussmix.GaussianMixture`.

    Attributes
    ----------
    estimator : the fitted estimator, with `means_`, `covariances_` and all methods.
    """

    def __init__(self, estimator: gaussian_mixture.GaussianMixture | None = None) -> None:
        super().__init__()
        self.estimator: Any = estimator

    def _transform(self, dataset: Any) -> Any:
        numbers = self._feature_columns(dataset, list(self.estimator.feature_names_in_))
        wide = dataset.withColumns(numbers)
        rows = wide.select(list(map(column_of, numbers)))
        added = {
            self.getPredictionCol(): self.estimator.predict(rows).cast("int"),
            self.getProbabilityCol(): array_to_vector(self.estimator.predict_proba(rows)),
        }
        if self.isDefined("logDensityCol"):
            added[self.getOrDefault("logDensityCol")] = self.estimator.score_samples(rows)
        return wide.withColumns(added).drop(*numbers)

    def write(self) -> DefaultParamsWriter:
        """Return a writer that saves the parameters and the fitted mixture."""
        return _Writer(self)

    @classmethod
    def read(cls) -> DefaultParamsReader:
        """Return a reader for models that were saved by `write`."""
        return _Reader(cls)


class _Writer(DefaultParamsWriter):
    def saveImpl(self, path: str) -> None:
        file = BytesIO()
        self.instance.estimator.save(file)
        content = b64encode(file.getvalue()).decode()
        DefaultParamsWriter.saveMetadata(self.instance, path, self.sparkSession, {"model": content})


class _Reader(DefaultParamsReader):
    def load(self, path: str) -> GaussianMixtureModel:
        model: GaussianMixtureModel = super().load(path)
        content = DefaultParamsReader.loadMetadata(path, self.sparkSession)["model"]
        model.estimator = gaussian_mixture.GaussianMixture.load(BytesIO(b64decode(content)))
        return model
