"""Names that people know from other packages, and what does it here."""

# What people type first after `gaussmix.`, in lower case
OF_PACKAGE = {
    "bic": "the method bic of a fitted estimator",
    "cluster": "GaussianMixture(n_components).fit_predict(X)",
    "densitymclust": "GaussianMixtureIC",
    "em": "GaussianMixture",
    "fit": "GaussianMixture(n_components).fit(X)",
    "fitgmdist": "GaussianMixture(n_components).fit(X)",
    "gmdistribution": "Mixture.from_parameters(weights, means, covariances)",
    "mclust": "GaussianMixtureIC",
    "mclustbic": "GaussianMixtureIC",
    "mclustbootstraplrt": "n_components_test",
    "mclustda": "GaussianMixtureClassifier",
    "mclustdr": "GaussianMixtureDimensionReducer",
    "predict": "the method predict of a fitted estimator",
    "read_csv": "open(path)",
    "sample": "the method sample of a fitted estimator or mixture",
    "save": "the method save of a fitted estimator or mixture",
}
# What programs call of scikit-learn's private methods, and what to call here.
PRIVATE = {
    "_estimate_log_prob": "mixture_.component_log_density(X)",
    "_estimate_weighted_log_prob": "mixture_.component_log_density(X) + np.log(weights_)",
    "_estimate_log_weights": "np.log(weights_)",
    "_estimate_log_prob_resp": "score_samples(X) and predict_proba(X)",
    "_estimate_log_gaussian_prob": "mixture_.component_log_density(X)",
    "_get_parameters": "mixture_, or weights_, means_, covariances_ and precisions_cholesky_",
    "_e_step": "score(X) and predict_proba(X)",
    "_m_step": "fit(X) with init_params=responsibilities and max_iter=0",
    "_initialize_parameters": "fit(X) with max_iter=0, which returns the start",
    "_compute_precision_cholesky": "precisions_cholesky_",
    "_compute_lower_bound": "lower_bound_",
    "_check_parameters": "Mixture.from_parameters(weights, means, covariances), which checks them",
    "_check_X": "predict(X), which checks X",
}
# Answers to what people ask of a fitted estimator by the names of other packages.
_ANSWERS = {
    "aic(X)": "aic_",
    "GaussianMixtureIC itself, which is the best after fit": "best_estimator_ best_model_",
    "GaussianMixtureIC, which has n_components_, covariance_type_ and results_": "best_params_",
    "bic(X), or results_ of a GaussianMixtureIC": "bic_",
    "means_": "centers_ centroids_ cluster_centers_ mu_",
    "labels_": "classification_ clusters_ predictions_",
    "covariances_": "cov_ covariance_ covars_ covs_ sigma_ sigmas_",
    "lower_bound_": "inertia_",
    "lower_bound_, the mean of a row, or score(X)": "log_likelihood_ loglik_ loglikelihood_",
    "predict_proba(X)": "membership_ memberships_ posterior_ predict_log_proba proba_ probabilities_ responsibilities_",
    "n_components": "n_clusters",
    "mixture_.n_components": "n_clusters_ n_components_",
    "n_iter_": "n_iterations_",
    "weights_": "pi_",
    "GaussianMixtureIC, which compares several candidates": "results_",
    "score_samples(X)": "scores_",
    "predict_proba(X), or GaussianMixtureDimensionReducer": "transform",
    "predict_proba(X): 1 less the highest of a row": "uncertainty_",
}
OF_FITTED = {name: answer for answer, names in _ANSWERS.items() for name in names.split()}
_START_PARAMETERS = "init_params, which takes a function (X, n_components, rng), or means_init and weights_init"
_STRUCTURE = "a covariance_type of your own (a gaussmix._src.families.base.Family)"
_STEPS = "callbacks, max_time or verbose"
# What subclasses define of them, and what does it here.
HOOKS = {
    "_m_step": f"restrictions, prior, covariance_type=Full(max_condition=…), or {_STRUCTURE}",
    "_e_step": "labels or X_error in fit, trim or noise",
    "_estimate_log_prob": _STRUCTURE,
    "_estimate_log_weights": "restrictions=Restrictions(equal_weights=True) or prior=Dirichlet(…)",
    "_estimate_weighted_log_prob": f"labels in fit, restrictions, or {_STRUCTURE}",
    "_estimate_log_prob_resp": "labels in fit, trim or noise",
    "_initialize": _START_PARAMETERS,
    "_initialize_parameters": _START_PARAMETERS,
    "_compute_lower_bound": 'callbacks, which can end a fit, or tol="auto"',
    "_check_parameters": "a fit of your own, which calls super().fit",
    "_print_verbose_msg_init_beg": _STEPS,
    "_print_verbose_msg_iter_end": _STEPS,
    "_print_verbose_msg_init_end": _STEPS,
    "_get_parameters": "mixture_",
    "_set_parameters": "mixture_, which can be set",
    "_n_parameters": "n_parameters_",
}
