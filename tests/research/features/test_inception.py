"""Inception's features beside torch's layers, and what its file can be wrong in."""

import functools
import hashlib
import sys

import numpy as np
import pytest

from research import features
from research.data import cifar10, find
from research.errors import UserError
from research.experiment import Data
from research.features import inception as part
from research.media import pictures
from research.metrics import inception

SEED = 5


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="of the extra bench")


@pytest.fixture(scope="module")
def arrays():
    """Random weights of the file's layout, of a size that keeps the signal's."""
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    found = {}
    for name, shape in inception.layout().items():
        draw = rng.standard_normal(shape, np.float32)
        if len(shape) > 1:
            found[name] = draw * np.float32((2 / np.prod(shape[1:])) ** 0.5)
        elif name.endswith(("bn.weight", "running_var")):
            found[name] = np.exp(draw / 4)
        else:
            found[name] = draw / 8
    return found


@pytest.fixture(scope="module")
def file(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "inception.npz"
    np.savez(path, **arrays)
    return path


def torchs(torch, arrays, pixels):
    """torch's own layers put together as the paper's figures 5 to 7 and table 1 say."""
    F = torch.nn.functional
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    x = torch.from_numpy(np.array(np.moveaxis(pixels, -1, 1)))

    def layer(x, name, **how):
        x = F.conv2d(x, weights[f"{name}.conv.weight"], **how)
        parts = ("running_mean", "running_var", "weight", "bias")
        stats = [weights[f"{name}.bn.{part}"] for part in parts]
        return F.relu(F.batch_norm(x, *stats, training=False, eps=0.001))

    def mean(x):
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)

    x = layer(x, "Conv2d_1a_3x3", stride=2)
    x = layer(x, "Conv2d_2a_3x3")
    x = F.max_pool2d(layer(x, "Conv2d_2b_3x3", padding=1), 3, stride=2)
    x = layer(layer(x, "Conv2d_3b_1x1"), "Conv2d_4a_3x3")
    x = F.max_pool2d(x, 3, stride=2)
    for block in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c"):
        at = functools.partial(lambda block, x, n, **how: layer(
            x, f"Mixed_{block}.{n}", **how
        ), block)  # fmt: skip
        across, down = {"padding": (0, 3)}, {"padding": (3, 0)}
        if block[0] == "5":
            double = at(at(x, "branch3x3dbl_1"), "branch3x3dbl_2", padding=1)
            branches = [
                at(x, "branch1x1"),
                at(at(x, "branch5x5_1"), "branch5x5_2", padding=2),
                at(double, "branch3x3dbl_3", padding=1),
                at(mean(x), "branch_pool"),
            ]
        elif block == "6a":
            double = at(at(x, "branch3x3dbl_1"), "branch3x3dbl_2", padding=1)
            branches = [
                at(x, "branch3x3", stride=2),
                at(double, "branch3x3dbl_3", stride=2),
                F.max_pool2d(x, 3, stride=2),
            ]
        elif block[0] == "6":
            once = at(at(x, "branch7x7_1"), "branch7x7_2", **across)
            twice = at(at(x, "branch7x7dbl_1"), "branch7x7dbl_2", **down)
            twice = at(at(twice, "branch7x7dbl_3", **across), "branch7x7dbl_4", **down)
            branches = [
                at(x, "branch1x1"),
                at(once, "branch7x7_3", **down),
                at(twice, "branch7x7dbl_5", **across),
                at(mean(x), "branch_pool"),
            ]
        elif block == "7a":
            sevens = at(at(x, "branch7x7x3_1"), "branch7x7x3_2", **across)
            sevens = at(at(sevens, "branch7x7x3_3", **down), "branch7x7x3_4", stride=2)
            branches = [
                at(at(x, "branch3x3_1"), "branch3x3_2", stride=2),
                sevens,
                F.max_pool2d(x, 3, stride=2),
            ]
        else:
            three = at(x, "branch3x3_1")
            double = at(at(x, "branch3x3dbl_1"), "branch3x3dbl_2", padding=1)
            pool = mean(x) if block == "7b" else F.max_pool2d(x, 3, 1, padding=1)
            branches = [
                at(x, "branch1x1"),
                at(three, "branch3x3_2a", padding=(0, 1)),
                at(three, "branch3x3_2b", padding=(1, 0)),
                at(double, "branch3x3dbl_3a", padding=(0, 1)),
                at(double, "branch3x3dbl_3b", padding=(1, 0)),
                at(pool, "branch_pool"),
            ]
        x = torch.cat(branches, 1)
    return x.mean((2, 3)).numpy()


def test_the_features_are_those_of_torchs_layers(torch, arrays, file, monkeypatch):
    # 107 pixels leave odd sizes on the way; of 3 pictures the last is a chunk of 1.
    monkeypatch.setattr(part, "CHUNK", 2)
    monkeypatch.setattr(part, "SIDE", 107)
    images = np.random.default_rng(SEED).integers(0, 256, (3, 20, 31, 3), np.uint8)
    found = part.configured(file).see(images)
    assert found.probabilities is None
    assert not part.configured(file).CLASSES
    want = torchs(torch, arrays, np.asarray(inception.scaled(images, 107)))
    assert found.features.shape == want.shape == (3, 2048)
    scale = want.std()
    assert scale > 0.01
    np.testing.assert_allclose(found.features, want, atol=2e-5 * scale, rtol=1e-4)


def test_pictures_are_scaled_as_tensorflow_1_does():
    # By hand, 3 → 4 pixels: places 0, 0.75, 1.5, 2.25, of which the last is the edge's.
    row = np.array([10, 20, 60], np.uint8)
    grey = np.tile(row, (3, 1))[None, :, :, None]
    want = (np.array([10, 17.5, 40, 60]) - 128) / 128
    found = np.asarray(inception.scaled(grey, 4))
    assert found.shape == (1, 4, 4, 3)
    for place in range(4):
        np.testing.assert_allclose(found[0, place, :, 1], want, rtol=1e-6)
    turned = np.asarray(inception.scaled(np.swapaxes(grey, 1, 2), 4))
    np.testing.assert_allclose(turned, np.swapaxes(found, 1, 2), rtol=1e-6)
    same = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    exact = (same.astype(np.float64) - 128) / 128
    np.testing.assert_array_equal(inception.scaled(same, 16)[..., :1], exact)


def test_any_set_of_pictures_is_judged_by_the_file_that_is_named(file):
    named = f"inception:{file}"
    dataset = find(Data("cifar10", features=named))
    assert dataset.load is cifar10.load
    judge = features.of(dataset)
    assert judge.dimensions((32, 32, 3)) == 2048
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert judge.TITLE.endswith(f"(weights {digest[:8]})")
    assert features.of(cifar10).NAME == "pixel"
    with pytest.raises(UserError, match="2049 or more"):
        pictures.refuse(2048, dataset, 10_000)
    with pytest.raises(UserError, match=r"hold 2000 pictures out.*2049 or more"):
        pictures.refuse(5000, dataset, 2000)
    pictures.refuse(2049, dataset, 2049)
    with pytest.raises(UserError, match="channels, these have 2"):
        judge.dimensions((8, 8, 2))
    with pytest.raises(UserError, match="grid has no features of its own"):
        find(Data("grid", features=named))


def test_torchs_file_is_read_as_the_npz(torch, arrays, file, tmp_path):
    path = tmp_path / "pt.pth"
    extra = {"Conv2d_1a_3x3.bn.num_batches_tracked": torch.tensor(0)}
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    torch.save(tensors | extra, path)
    one, other = part.configured(file).weights, part.configured(path).weights
    assert one.keys() == other.keys()
    np.testing.assert_array_equal(
        one["Mixed_7c.branch_pool"][0], other["Mixed_7c.branch_pool"][0]
    )


def without(arrays, name):
    return {other: array for other, array in arrays.items() if other != name}


WRONG = {
    "a layer is missing": (
        lambda a: without(a, "Mixed_6c.branch7x7_2.conv.weight"),
        r"Mixed_6c.branch7x7_2.conv.weight is missing: these are not the weights",
    ),
    "torchvision's": (
        lambda a: a | {"fc.weight": a["fc.weight"][:1000]},
        r"fc.weight has shape \(1000, 2048\) and not \(1008, 2048\)",
    ),
    "not finite": (
        lambda a: a | {"fc.bias": a["fc.bias"] * np.nan},
        "fc.bias holds a NaN",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_another_layout_is_told_with_the_arrays_name(arrays, case):
    change, says = WRONG[case]
    with pytest.raises(UserError, match=says):
        part._check(change(arrays), "a.npz")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.npz", None, "No such file.*give Inception's weights"),
        ("a.npz", b"no archive", "cannot be read"),
        ("a.pth", b"no pickle", "cannot be read|is read with torch"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_a_line(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says) as error:
        part.configured(tmp_path / name)
    assert "\n" not in str(error.value)


def test_the_features_alone_are_told_that_a_file_belongs_to_them():
    with pytest.raises(UserError, match="inception:FILE"):
        features.of(find(Data("cifar10", features="inception")))


def test_without_torch_the_way_to_an_npz_is_told(tmp_path, monkeypatch):
    (tmp_path / "a.pth").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"make an \.npz: python -c"):
        part.configured(tmp_path / "a.pth")
