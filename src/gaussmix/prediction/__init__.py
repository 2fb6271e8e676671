"""Estimators made of a mixture that predict: numbers, classes, outliers, and what is missing."""
