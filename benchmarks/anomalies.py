"""One class left out of training, told from the others: AUROC beside PyOD's detectors.

    pip install scikit-learn pyod; Fashion-MNIST: apt-get install dataset-fashion-mnist
    python benchmarks/anomalies.py [--sets digits fashion breast-cancer wine] [--minutes 5]

Trained on four fifths of the other classes, which are then told apart: the last fifth of them, and the class
that was left out. Ours is `undiffuse.fit` as it is, with three scores of `model.score`: bits, their two-sided
typicality, and bits above the background. Beside it ECOD, isolation forests, ten nearest neighbours and the
reconstruction error of principal components (nine tenths of the variance), with PyOD's defaults but for that,
on values that are standardised. Of breast cancer what is left out is malignant.
"""

import argparse
import gzip
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import undiffuse as ud

Array = NDArray[Any]
FASHION = Path("/usr/share/datasets/fashion-mnist")
TRAINED, CLASSES = 5000, (0, 1, 8)  # images of Fashion-MNIST; which classes of pictures are left out
PYOD = {
    "ECOD": ("ecod", {}),
    "IForest": ("iforest", {"random_state": 0}),
    "KNN": ("knn", {"n_neighbors": 10}),
}


def fashion() -> tuple[Array, Array]:
    with gzip.open(FASHION / "train-images-idx3-ubyte.gz") as images:
        x = np.frombuffer(images.read()[16:], np.uint8).reshape(-1, 1, 28, 28)
    with gzip.open(FASHION / "train-labels-idx1-ubyte.gz") as labels:
        y = np.frombuffer(labels.read()[8:], np.uint8)
    return x[: TRAINED * 10 // 7], y[: TRAINED * 10 // 7]


def loaded(name: str) -> tuple[Array, Array, tuple[int, ...]]:
    """Examples, their classes, and which of these are left out, one at a time."""
    from sklearn import datasets

    if name == "fashion":
        return *fashion(), CLASSES
    found = getattr(datasets, {"breast-cancer": "load_breast_cancer"}.get(name, f"load_{name}"))()
    if name == "digits":
        return found.images.astype(np.uint8)[:, None], found.target, CLASSES
    return found.data, found.target, (0,) if name == "breast-cancer" else (0, 1, 2)


def ours(train: Array, test: Array, minutes: float) -> Iterator[tuple[str, Array]]:
    model = ud.fit(train, quiet=True, **({"minutes": minutes} if train.size > 10**6 else {}))
    found = model.score(test)
    yield "ours: bits", found.bits.numpy()
    yield "ours: typicality", -found.typicality.numpy()
    if found.background is not None:
        yield "ours: background", found.above.numpy()


def others(train: Array, test: Array) -> Iterator[tuple[str, Array]]:
    from importlib import import_module

    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train.reshape(len(train), -1).astype(float))
    x, y = (scaler.transform(each.reshape(len(each), -1).astype(float)) for each in (train, test))
    for name, (module, arguments) in PYOD.items():
        detector = getattr(import_module(f"pyod.models.{module}"), name)(**arguments).fit(x)
        yield name, detector.decision_function(y)
    pca = PCA(0.9, random_state=0).fit(x)
    yield "PCA", np.square(y - pca.inverse_transform(pca.transform(y))).sum(1)


def main() -> None:
    """A row for every set, the mean over the classes that are left out; then mean ranks."""
    from sklearn.metrics import roc_auc_score

    sets = ["digits", "fashion", "breast-cancer", "wine"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="+", default=sets, choices=sets)
    parser.add_argument("--minutes", type=float, default=5.0, help="for a training on pictures of 28x28")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| set | class left out | way | AUROC |\n|---|---|---|---|")
    means: dict[str, dict[str, float]] = defaultdict(dict)
    for name in options.sets:
        x, y, left = loaded(name)
        found = defaultdict(list)
        for out in left:
            begin = time.perf_counter()
            inside = np.random.default_rng(0).permutation(np.flatnonzero(y != out))
            cut = len(inside) * 4 // 5
            train, test = x[inside[:cut]], np.concatenate([x[inside[cut:]], x[y == out]])
            truth = np.r_[np.zeros(len(inside) - cut), np.ones(int((y == out).sum()))]
            for way, score in [*ours(train, test, options.minutes), *others(train, test)]:
                found[way].append(roc_auc_score(truth, score))
                print(f"| {name} | {out} | {way} | {found[way][-1]:.3f} |", flush=True)
            print(f"| {name} | {out} | seconds | {time.perf_counter() - begin:.0f} |", flush=True)
        for way, each in found.items():
            means[way][name] = float(np.mean(each))
            print(f"| {name} | mean | {way} | {means[way][name]:.3f} |", flush=True)
    for own in ("ours: bits", "ours: typicality"):
        table = {way: each for way, each in means.items() if way == own or not way.startswith("ours")}
        ranks = {
            way: [1 + sum(o[s] > each[s] for o in table.values()) for s in each]
            for way, each in table.items()
        }
        print("mean ranks: " + ", ".join(f"{way} {np.mean(each):.2f}" for way, each in ranks.items()))


if __name__ == "__main__":
    main()
