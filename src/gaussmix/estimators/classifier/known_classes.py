"""How the mixtures of classes are fitted, as the parameters of a classifier ask."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray

from gaussmix.checks import check_count
from gaussmix.em.stopping import Stopping
from gaussmix.errors import SingularCovariance
from gaussmix.estimators.candidates import check_families, one_feature_notes
from gaussmix.estimators.classifier.class_fits import ClassFit, LabelledRows
from gaussmix.estimators.classifier.class_mixtures import shares_nothing
from gaussmix.estimators.classifier.labels import check_priors, no_class
from gaussmix.estimators.factors import check_family
from gaussmix.estimators.messages import about, constant_sentence, warn
from gaussmix.estimators.parameters import check_number, check_ridge, check_share
from gaussmix.estimators.predictor import MixturePredictor
from gaussmix.families.base import FAMILIES


class KnownClasses(MixturePredictor):
    """Parameters of a classifier turned into fits."""

    classes_: NDArray[Any]
    priors: ArrayLike | None
    unknown: float

    def _check_parameters(self, n_features: int, *, is_complete: bool) -> None:
        """Raise ValueError for parameters that don't go together."""
        if check_share("unknown", self.unknown) > 0:
            no_class(self.classes_)
        if self.priors is not None:
            check_priors(self.priors, len(self.classes_), is_complete=is_complete)
        if is_complete or self.n_components is None:
            return
        if self._is_choice or not shares_nothing(check_family(self), n_features):
            free = ", ".join(repr(name) for name in sorted(FAMILIES) if shares_nothing(FAMILIES[name], n_features))
            raise ValueError(
                "With rows of unknown class (y == -1) and several components for each class, give one n_components and "
                f"one covariance_type of which components share nothing, {free}; or n_components=None."
            )

    def _one_component_each(self, known: LabelledRows) -> ClassFit:
        """The best of the structures that are named."""
        families = check_families(self, known.n_features)
        for sentence in one_feature_notes(self.covariance_type) if known.n_features == 1 else ():
            warn(sentence)
        ridge = check_ridge(self._chosen_reg_covar)
        try:
            found = known.best_of_one_component_each(families, ridge, self._stopping())
        except SingularCovariance as error:
            classes = ", ".join(repr(self.classes_.tolist()[number]) for number in error.components)
            raise ValueError(
                f"Too few distinct rows for the covariance of class {classes}: raise reg_covar, choose a "
                "covariance_type that classes share, such as 'tied', or drop columns that are constant or follow from "
                "others."
            ) from None
        if ridge is None:
            warn(constant_sentence(found.classes.mixture.model, known.data.ridge, known.data.original, self._names))
        for number in () if found.classes.mixture.family.is_shared else known.without_spread():
            warn(
                f"Class {self.classes_.tolist()[number]!r}: all its rows are equal, so that its covariance is "
                "reg_covar alone. Choose a covariance_type that classes share, such as 'tied', or leave the class out."
            )
        return found

    def _several_components_each(self, known: LabelledRows) -> ClassFit:
        fits = []
        for number, label in enumerate(self.classes_.tolist()):
            part = known.data.original.part(known.labels == number)
            mine = part.sample(part.n_rows)
            with about(f"Class {label!r}"):
                fits.append(self._mixture_estimator()._refit(mine.rows, mine.row_weight))
        mixtures, n_steps = [fit.mixture_ for fit in fits], max(fit.n_iter_ for fit in fits)
        ridge = check_ridge(self._chosen_reg_covar)
        return known.several_components_each(mixtures, n_steps, ridge, self._stopping())

    def _stopping(self) -> Stopping:
        return Stopping(check_number("tol", self.tol), check_count("max_iter", self.max_iter, 0))
