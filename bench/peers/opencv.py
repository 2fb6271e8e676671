"""OpenCV's cv2.ml.EM, which OpenCV 5 no longer has. Its Python binding takes a start only as responsibilities."""

from __future__ import annotations

import numpy as np

from bench.peers.base import Fit, Peer, Problem


class OpenCV(Peer):
    name, package, distribution = "OpenCV", "cv2", "opencv-python-headless"
    note = "started from responsibilities"

    def missing(self) -> str | None:
        if (why := super().missing()) is not None:
            return why
        import cv2

        return None if hasattr(cv2, "ml") else f"OpenCV {cv2.__version__} has no cv2.ml"

    def version(self) -> str:
        import cv2

        return str(cv2.__version__)

    def prepare(self, problem: Problem) -> None:
        _ = problem.responsibilities

    def fit(self, problem: Problem, iterations: int, threads: int) -> Fit:
        import cv2

        cv2.setNumThreads(threads)
        full = problem.structure == "full"
        model = cv2.ml.EM.create()
        model.setClustersNumber(problem.n_components)
        model.setCovarianceMatrixType(cv2.ml.EM_COV_MAT_GENERIC if full else cv2.ml.EM_COV_MAT_DIAGONAL)
        model.setTermCriteria((cv2.TERM_CRITERIA_COUNT, iterations, 0.0))
        trained, log_densities, _, _ = model.trainM(problem.rows, problem.responsibilities)
        assert trained
        covariances = np.stack(model.getCovs())
        if not full:
            covariances = np.diagonal(covariances, axis1=1, axis2=2)
        return Fit(model.getWeights()[0], model.getMeans(), covariances, float(log_densities.sum()))
