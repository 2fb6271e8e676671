"""Cut what main.R and extras.R wrote to what test_choice.py reads: `python trim.py FOLDER` of their files."""

import json
import sys
from pathlib import Path

DATA_SETS = ["galaxies", "eruptions", "faithful", "cross", "iris", "banknote"]
MODELS = {"E", "V", "EII", "VII", "EEI", "EVI", "VVI", "EEE", "EEV", "EVV", "VVV"}  # M-steps in closed form
COMBINED = ["csv", "model", "G", "parameters", "loglik", "entropy", "merges", "classification"]
PARAMETERS = ["pro", "mean", "sigma_tril"]


def criteria(full: dict) -> list[dict]:
    """BIC and ICL of each fit by mclust's default control, and how many steps that took."""
    found = []
    for fit in full["fits"]:
        if fit["model"] in MODELS and fit["default"]["loglik"] is not None:
            place = fit["G"] - 1, full["bic"]["models"].index(fit["model"])
            bic, icl = (full[name]["table"][place[0]][place[1]] for name in ("bic", "icl"))
            steps = fit["default"]["iterations"]
            found.append({"model": fit["model"], "G": fit["G"], "iterations": steps, "bic": bic, "icl": icl})
    return found


def main(folder: Path) -> None:
    here = Path(__file__).parent
    full = {name: json.loads((folder / f"{name}.json").read_text()) for name in DATA_SETS}
    facts = {"versions": full["iris"]["versions"], "fits": {name: criteria(full[name]) for name in DATA_SETS}}
    (here / "criteria.json").write_text(json.dumps(facts, separators=(",", ":")) + "\n")
    combined = json.loads((folder / "x_clustcombi.json").read_text())
    kept = {}
    for name, example in combined["examples"].items():
        kept[name] = {key: example[key] for key in COMBINED}
        kept[name]["parameters"] = {key: example["parameters"][key] for key in PARAMETERS}
        (here / example["csv"]).write_text((folder / example["csv"]).read_text())
    facts = {"versions": combined["versions"], "examples": kept}
    (here / "clustcombi.json").write_text(json.dumps(facts, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
