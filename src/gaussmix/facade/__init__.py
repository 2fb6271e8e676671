"""The face that scikit-learn's users know: estimators with its names, its meanings and its warnings."""
