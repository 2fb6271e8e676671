"""The features of fits: a fit runs the code of those that it uses, found once from what the user passed."""
