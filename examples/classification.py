"""Classification of wines by chemistry: mixtures of the classes compared with common classifiers.

python examples/classification.py
"""

from __future__ import annotations

from sklearn.base import ClassifierMixin
from sklearn.datasets import load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gaussmix import GaussianMixtureClassifier


def classifiers() -> dict[str, ClassifierMixin]:
    """Return the classifiers: one Gaussian per class with a structure by BIC, a mixture per class, and alternatives."""
    return {
        "one component each, BIC": GaussianMixtureClassifier(covariance_type="all"),
        "mixtures, diag, BIC": GaussianMixtureClassifier([1, 2, 3], covariance_type=["diag", "EEI"], random_state=0),
        "LDA": LinearDiscriminantAnalysis(),
        "QDA": QuadraticDiscriminantAnalysis(),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
        "random forest": RandomForestClassifier(random_state=0),
    }


def compare(n_folds: int = 10, n_repeats: int = 3) -> dict[str, tuple[float, float]]:
    """Return the accuracy and the mean log loss (nats) on held-out rows."""
    X, y = load_wine(return_X_y=True)
    folds = RepeatedStratifiedKFold(n_splits=n_folds, n_repeats=n_repeats, random_state=0)
    results = {}
    for name, classifier in classifiers().items():
        found = cross_validate(classifier, X, y, cv=folds, scoring=["accuracy", "neg_log_loss"])
        results[name] = float(found["test_accuracy"].mean()), float(-found["test_neg_log_loss"].mean())
    return results


def main() -> None:
    """Print the table."""
    print("178 wines of three growers, 13 measurements; ten-fold, three times\n")
    print(f"{'':26}{'accuracy':>9}{'log loss':>10}")
    for name, (accuracy, loss) in compare().items():
        print(f"{name:26}{accuracy:9.1%}{loss:10.3f}")


if __name__ == "__main__":
    main()
