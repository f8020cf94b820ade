"""Features and where they come from: a classifier, pixels, Inception; their files."""

import json

import pytest
import torch
from safetensors.torch import save_file

from undiffuse.metrics import (
    Classifier,
    Inception,
    Pixels,
    extract,
    load_features,
)
from undiffuse.metrics.inception import InceptionV3


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 5), (2, 1, 1)])
def test_a_classifier_is_the_same_after_its_file(shape, tmp_path):
    torch.manual_seed(0)
    made, images = Classifier(shape, 7, width=4, features=12), torch.rand(6, *shape)
    made.logits(images).sum().backward()  # moves the running means
    made.eval().save(tmp_path / "clothes.safetensors")
    read = load_features(tmp_path / "clothes.safetensors")
    features = extract(read, images.split(4))
    assert features.shape == (6, 12) and features.dtype == torch.float32 and not read.training
    torch.testing.assert_close(features, made(images).detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(read.logits(images), made.logits(images), rtol=1e-5, atol=1e-6)
    assert made.logits(images).shape == (6, 7)
    assert read.distances[0] == "Fréchet distance, classifier clothes.safetensors"
    assert not any(parameter.requires_grad for parameter in read.parameters())
    read.check(shape)
    with pytest.raises(ValueError, match=r"clothes.safetensors is for images .* train one for them"):
        read.check((5, *shape[1:]))


def test_pixels_are_the_values():
    x = torch.rand(5, 2, 3, 4)
    assert torch.equal(extract(Pixels(), x.split(2)), x.flatten(1))
    assert Pixels().distances == ("Fréchet distance, pixels", "kernel distance, pixels")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (None, "neither a classifier nor"),
        ("no JSON", "neither a classifier nor"),
        ('{"kind": "other"}', "neither a classifier nor"),
        ('{"kind": "classifier", "classes": 3}', "neither a classifier nor"),
        ('{"kind": "classifier", "shape": [1, 8], "classes": 3}', "neither a classifier nor"),
        ('{"kind": "classifier", "shape": [1, 8, 8], "classes": 3}', "its tensors are not those"),
        ('{"kind": "classifier", "shape": [1, 8, 8], "classes": 3, "features": 10000000000}', "its tensors"),
    ],
)
def test_other_files_are_refused(said, message, tmp_path):
    path = tmp_path / "file.safetensors"
    save_file({"w": torch.zeros(2)}, path, said and {"undiffuse": said})
    with pytest.raises(ValueError, match=rf"file.safetensors: {message}"):
        load_features(path)


def test_code_is_never_loaded(tmp_path):
    torch.save({"w": torch.zeros(2)}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="not a safetensors file"):
        load_features(tmp_path / "weights.pth")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_features(tmp_path / "nowhere.safetensors")
    with pytest.raises(ValueError, match="two classes or more"):
        Classifier((1, 8, 8), 1)


def test_inception_has_the_names_and_shapes_of_the_port():
    """As torch-fidelity's network for the same file has them; its features are ours, bit for bit."""
    with torch.device("meta"):
        network = InceptionV3()
    tensors = network.state_dict()
    assert {m.eps for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {1e-3}
    weights = {name: tuple(t.shape) for name, t in tensors.items() if "tracked" not in name}
    assert len(weights) == 472 and sum(name.endswith("conv.weight") for name in weights) == 94
    assert weights["Mixed_5b.branch_pool.conv.weight"] == (32, 192, 1, 1)
    assert weights["Mixed_6a.branch3x3dbl_3.conv.weight"] == (96, 96, 3, 3)
    assert weights["Mixed_6c.branch7x7dbl_4.conv.weight"] == (160, 160, 7, 1)
    assert weights["Mixed_7a.branch7x7x3_2.conv.weight"] == (192, 192, 1, 7)
    assert weights["Mixed_7c.branch3x3dbl_3b.bn.running_var"] == (384,)
    assert weights["fc.weight"] == (1008, 2048)


@pytest.mark.slow
def test_inception_from_its_weights(tmp_path):
    torch.manual_seed(0)
    network = InceptionV3().eval()
    plain = {name: t for name, t in network.state_dict().items() if "tracked" not in name}
    save_file(plain, tmp_path / "fid.safetensors")
    read = load_features(tmp_path / "fid.safetensors")
    assert isinstance(read, Inception) and read.distances[0] == "FID, Inception fid.safetensors"
    grey = torch.rand(1, 1, 299, 299)
    with torch.no_grad():
        exact = network(2 * grey.expand(1, 3, -1, -1) - 1)
    torch.testing.assert_close(extract(read, [grey]), exact, rtol=1e-4, atol=1e-7)
    assert extract(read, [torch.rand(2, 3, 8, 8)]).shape == (2, 2048)
    with pytest.raises(ValueError, match=r"is for images \(1 or 3, H, W\)"):
        read.check((2, 8, 8))
    save_file(dict(list(plain.items())[:-1]), tmp_path / "part.safetensors", {"note": json.dumps("cut")})
    with pytest.raises(ValueError, match="its tensors are not those"):
        load_features(tmp_path / "part.safetensors")


def test_the_last_pool_of_inception_is_a_maximum_and_the_others_leave_padding_out():
    network = InceptionV3()
    x = torch.ones(1, 768, 4, 4)
    pooled = {name: [] for name in ("Mixed_6b", "Mixed_7b", "Mixed_7c")}
    for name, seen in pooled.items():
        block = network.get_submodule(name)
        block.branch_pool.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
    network.Mixed_6b(x)
    assert torch.equal(pooled["Mixed_6b"][0], x)  # a mean with padding would be 4/9 in the corners
    ramp = torch.arange(9.0).view(1, 1, 3, 3)
    network.Mixed_7b(ramp.expand(1, 1280, 3, 3))
    network.Mixed_7c(ramp.expand(1, 2048, 3, 3))
    assert pooled["Mixed_7b"][0][0, 0, 0, 0] == 2 and pooled["Mixed_7c"][0][0, 0, 0, 0] == 4
