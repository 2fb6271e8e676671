"""Cut what extras.R wrote to what test_classes.py reads: `python trim.py FOLDER` of its files."""

import json
import sys
from pathlib import Path

KEPT = ["loglik", "df", "bic", "train_error", "test_error", "train_brier", "test_brier", "z5"]


def shortened(full: dict) -> dict:
    """What a fit is judged by, and the structure and size of each class."""
    models = {label: [model["model"], model["G"]] for label, model in full["models"].items()}
    return {key: full[key] for key in KEPT if key in full} | {"models": models}


def main(folder: Path) -> None:
    found = json.loads((folder / "x_da.json").read_text())
    facts = {"versions": found["versions"], "data_sets": {}}
    for name, full in found["datasets"].items():
        fits = {key: shortened(full[key]) for key in full if key.endswith(("_full", "_half"))}
        facts["data_sets"][name] = {"labels": full["labels"], "EDDA_by_model": full["EDDA_by_model"], **fits}
    partly = json.loads((folder / "x_ssc.json").read_text())
    facts["partly_labelled"] = {
        key: partly[key] for key in ("model", "loglik", "df", "bic", "error_all", "bic_by_model")
    }
    (Path(__file__).parent / "classes.json").write_text(json.dumps(facts, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
