"""Work that is sent to other processes contains the names of gaussmix's classes, not copies of the classes."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

import gaussmix.extend

PICKLE_CLASSES = """
import sys
import cloudpickle  # Ray, Spark and joblib use it
import gaussmix

for name in gaussmix.__all__:
    getattr(gaussmix, name)
gaussmix.GaussianMixture(random_state=0).fit(gaussmix.open(sys.argv[1], missing=True))
modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "gaussmix"]
classes = {each for module in modules for each in vars(module).values() if isinstance(each, type)}
ours = [each for each in classes if each.__module__.partition(".")[0] == "gaussmix"]
sys.stdout.buffer.write(cloudpickle.dumps([(each.__module__, each.__qualname__, each) for each in ours]))
"""


@pytest.mark.heavy
def test_cloudpickle_stores_gaussmix_classes_by_name_instead_of_copies(tmp_path, rng):
    np.save(tmp_path / "rows.npy", rng.normal(size=(100, 2)))
    words = [sys.executable, "-c", PICKLE_CLASSES, str(tmp_path / "rows.npy")]
    loaded = pickle.loads(subprocess.run(words, stdout=subprocess.PIPE, timeout=120, check=True).stdout)
    assert {"AssignmentRule", "Block", "Family", "MomentSpec", "Source"} <= {name for _, name, _ in loaded}
    assert [name for module, name, each in loaded if getattr(sys.modules[module], name) is not each] == []
    assert gaussmix.extend.AssignmentRule.__module__ == "gaussmix.extend"
