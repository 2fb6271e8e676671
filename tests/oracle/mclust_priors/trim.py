"""Cut what extras.R wrote to what test_priors.py reads: `python trim.py FOLDER` of its files."""

import json
import sys
from pathlib import Path


def cut(fit: dict) -> dict:
    """Where mclust ended with its tight control: log-likelihood (nats, a total), weights and means."""
    tight = fit["tight"]
    found = {key: fit[key] for key in ("model", "G", "hyper", "npar") if key in fit}
    return found | {key: tight.get(key) for key in ("loglik", "pro", "mean")}


def main(folder: Path) -> None:
    here = Path(__file__).parent
    for name in ("prior", "equalpro"):
        full = json.loads((folder / f"x_{name}.json").read_text())
        kept = {}
        for data, found in full["datasets"].items():
            kept[data] = {"fits": [cut(fit) for fit in found["fits"]]}
            if "start_labels" in found:
                kept[data]["start_labels"] = found["start_labels"]
        facts = {"versions": full["versions"], "datasets": kept}
        (here / f"{name}.json").write_text(json.dumps(facts, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
