"""One run of EM: from a model and an objective it yields the states, step by step, or the best end of several runs."""
