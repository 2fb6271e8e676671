"""Cut what extras.R wrote to what test_density.py reads: `python trim.py FOLDER` of its file."""

import json
import sys
from pathlib import Path

PARAMETERS = ["pro", "mean", "sigma_tril"]
KEPT = {
    "galaxies": ["model", "x", "cdf", "p", "quantile"],
    "eruptions": ["model", "x", "cdf", "p", "quantile"],
    "faithful": ["model", "x", "logpdf", "hdr_prob", "hdrlevels"],
}


def main(folder: Path) -> None:
    full = json.loads((folder / "x_density.json").read_text())
    facts = {"versions": full["versions"]}
    for name, keys in KEPT.items():
        facts[name] = {key: full[name][key] for key in keys}
        facts[name]["parameters"] = {key: full[name]["parameters"][key] for key in PARAMETERS}
    (Path(__file__).parent / "density.json").write_text(json.dumps(facts, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
