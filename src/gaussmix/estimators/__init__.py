"""Estimators in scikit-learn's manner: its names, its meanings and its warnings."""
