"""Cut what R wrote to what the tests read: `python trim.py WHAT FOLDER`; WHAT is a name in `PARTS`.

FOLDER has the files of main.R and extras.R. The README.md of each folder here says how these were made.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
DATA_SETS = ["galaxies", "eruptions", "faithful", "cross", "iris", "banknote"]
PARAMETERS = ["pro", "mean", "sigma_tril"]


def read(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}.json").read_text())


def write(name: str, facts: dict) -> None:
    # repr of a double is the shortest that reads back, as in the originals, so no digit is lost.
    (HERE / f"{name}.json").write_text(json.dumps(facts, separators=(",", ":")) + "\n")


# mclust: of all models what can be compared, and of some the parameters

MODELS = {"E", "V", "EEE", "VVV", "VVI", "VII"}
FACTS = ["dataset", "n", "d", "versions", "start", "control_default", "control_tight", "start_labels"]
RESULTS = ["loglik", "iterations", "return_code", "warning", *PARAMETERS]
KINDS = ["default", "tight"]


def fits(folder: Path) -> None:
    proper = read(folder, "x_vve_proper")["fits"]
    monotone = {(fit["dataset"], fit["model"], fit["G"]): fit["loglik_monotone_em"] for fit in proper}
    for name in DATA_SETS:
        write(f"mclust/{name}", fits_of(read(folder, name), monotone))
        (HERE / "mclust" / f"{name}.csv").write_text((folder / f"{name}.csv").read_text())


def fits_of(full: dict, monotone: dict) -> dict:
    models = full["bic"]["models"]
    kept = [name for name in models if name in MODELS]
    rows = [[row[models.index(name)] for name in kept] for row in full["bic"]["table"]]
    out = {name: full[name] for name in FACTS}
    out["bic"] = {"G": full["bic"]["G"], "models": kept, "table": rows}
    out["start_labels"] |= full.get("start_labels_6_9", {})
    out["fits"] = []
    for fit in full["fits"]:
        if fit["model"] in MODELS:
            runs = {kind: {key: fit[kind][key] for key in RESULTS if key in fit[kind]} for kind in KINDS}
            out["fits"].append({"model": fit["model"], "G": fit["G"], "npar": fit["npar"], **runs})
    out["structures"] = [structure(full, fit, monotone) for fit in full["fits"]]
    return out


def structure(full: dict, fit: dict, monotone: dict) -> dict:
    """A fit of any model without its parameters; `monotone` is the log-likelihood that an EM in NumPy reached."""
    facts = {"model": fit["model"], "G": fit["G"], "npar": fit["npar"]}
    facts["icl"] = full["icl"]["table"][fit["G"] - 1][full["icl"]["models"].index(fit["model"])]
    facts["monotone"] = monotone.get((full["dataset"], fit["model"], fit["G"]))
    return facts | {kind: {key: fit[kind].get(key) for key in RESULTS[:2]} for kind in KINDS}


# mclust_bootstrap

NAMES = {"wlbs": "weighted", "bs": "nonparametric", "pb": "parametric", "jk": "jackknife"}


def bootstrap(folder: Path) -> None:
    """The standard errors of each kind, in the order of gaussmix's natural scale, and the tests of x_blrt.json."""
    found, tests = read(folder, "x_bootstrap"), read(folder, "x_blrt")
    kept = {"versions": found["versions"], "note": found["note"], "kinds": {}, "tests": tests["tests"]}
    for name, kind in NAMES.items():
        of_kind = found[name]
        errors = [of_kind["se_pro"], *of_kind["se_mean"], *of_kind["se_var_tril"]]
        kept["kinds"][kind] = {"n": of_kind["nboot"], "bse": [number for part in errors for number in part]}
        if "ci95_pro" in of_kind:
            kept["kinds"][kind]["weights"] = of_kind["ci95_pro"]
    write("mclust_bootstrap/bootstrap", kept)


# mclust_choice

CLOSED = {"E", "V", "EII", "VII", "EEI", "EVI", "VVI", "EEE", "EEV", "EVV", "VVV"}  # M-steps in closed form
COMBINED = ["csv", "model", "G", "parameters", "loglik", "entropy", "merges", "classification"]


def choice(folder: Path) -> None:
    full = {name: read(folder, name) for name in DATA_SETS}
    facts = {"versions": full["iris"]["versions"], "fits": {name: criteria(full[name]) for name in DATA_SETS}}
    write("mclust_choice/criteria", facts)
    combined, kept = read(folder, "x_clustcombi"), {}
    for name, example in combined["examples"].items():
        kept[name] = {key: example[key] for key in COMBINED}
        kept[name]["parameters"] = {key: example["parameters"][key] for key in PARAMETERS}
        (HERE / "mclust_choice" / example["csv"]).write_text((folder / example["csv"]).read_text())
    write("mclust_choice/clustcombi", {"versions": combined["versions"], "examples": kept})


def criteria(full: dict) -> list[dict]:
    """BIC and ICL of each fit by mclust's default control, and how many steps that took."""
    found = []
    for fit in full["fits"]:
        if fit["model"] in CLOSED and fit["default"]["loglik"] is not None:
            place = fit["G"] - 1, full["bic"]["models"].index(fit["model"])
            bic, icl = (full[name]["table"][place[0]][place[1]] for name in ("bic", "icl"))
            steps = fit["default"]["iterations"]
            found.append({"model": fit["model"], "G": fit["G"], "iterations": steps, "bic": bic, "icl": icl})
    return found


# mclust_classes

OF_CLASSES = ["loglik", "df", "bic", "train_error", "test_error", "train_brier", "test_brier", "z5"]
OF_PARTLY_LABELLED = ["model", "loglik", "df", "bic", "error_all", "bic_by_model"]


def classes(folder: Path) -> None:
    found = read(folder, "x_da")
    facts = {"versions": found["versions"], "data_sets": {}}
    for name, full in found["datasets"].items():
        made = {key: of_classes(full[key]) for key in full if key.endswith(("_full", "_half"))}
        facts["data_sets"][name] = {"labels": full["labels"], "EDDA_by_model": full["EDDA_by_model"], **made}
    partly = read(folder, "x_ssc")
    facts["partly_labelled"] = {key: partly[key] for key in OF_PARTLY_LABELLED}
    write("mclust_classes/classes", facts)


def of_classes(full: dict) -> dict:
    """What a fit is judged by, and the structure and size of each class."""
    models = {label: [model["model"], model["G"]] for label, model in full["models"].items()}
    return {key: full[key] for key in OF_CLASSES if key in full} | {"models": models}


# mclust_density

OF_DENSITIES = {
    "galaxies": ["model", "x", "cdf", "p", "quantile"],
    "eruptions": ["model", "x", "cdf", "p", "quantile"],
    "faithful": ["model", "x", "logpdf", "hdr_prob", "hdrlevels"],
}


def density(folder: Path) -> None:
    full = read(folder, "x_density")
    facts = {"versions": full["versions"]}
    for name, keys in OF_DENSITIES.items():
        facts[name] = {key: full[name][key] for key in keys}
        facts[name]["parameters"] = {key: full[name]["parameters"][key] for key in PARAMETERS}
    write("mclust_density/density", facts)


# mclust_noise


def noise(folder: Path) -> None:
    full = read(folder, "x_noise")
    out = {name: full[name] for name in ("versions", "n", "d", "Vinv", "start_labels")}
    out["fits"] = [
        {key: fit[key] for key in ("model", "G", "npar")} | {key: fit["tight"][key] for key in ("loglik", *PARAMETERS)}
        for fit in full["fits"]
    ]
    write("mclust_noise/noise", out)


# mclust_priors


def priors(folder: Path) -> None:
    for name in ("prior", "equalpro"):
        full, kept = read(folder, f"x_{name}"), {}
        for data, found in full["datasets"].items():
            kept[data] = {"fits": [of_prior(fit) for fit in found["fits"]]}
            if "start_labels" in found:
                kept[data]["start_labels"] = found["start_labels"]
        write(f"mclust_priors/{name}", {"versions": full["versions"], "datasets": kept})


def of_prior(fit: dict) -> dict:
    """Where mclust ended with its tight control: log-likelihood (nats, a total), weights and means."""
    found = {key: fit[key] for key in ("model", "G", "hyper", "npar") if key in fit}
    return found | {key: fit["tight"].get(key) for key in ("loglik", "pro", "mean")}


PARTS = {part.__name__: part for part in (fits, bootstrap, choice, classes, density, noise, priors)}

if __name__ == "__main__":
    PARTS[sys.argv[1]](Path(sys.argv[2]))
