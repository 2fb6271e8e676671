"""The regressor: a mixture of predictors and targets together."""
