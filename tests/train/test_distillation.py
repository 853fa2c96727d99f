"""Images come as predicting reads them, the loss means what it says, and the recipe trains and resumes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from densevit import imaging
from densevit.checkpoints.loading import load_network
from densevit.core.errors import UsageError
from densevit.models.build import Network
from densevit.recipes import sam_distill
from densevit.recipes.sam_distill import DistillOptions
from densevit.tasks.promptable import make_promptable_task
from densevit.train.distillation import DistillationLoss, EmbeddedImages, EmbeddingScores, match_scale
from densevit.train.loop import fit
from densevit.variants.segment_anything import EMBEDDING_SHAPE
from densevit.zoo import find_model
from helpers import tiny, tiny_promptable

CPU = torch.device("cpu")
TASK = make_promptable_task(find_model(tiny_promptable.NAME).manifest())


def constant(path, mirrored):
    """Stands for the teacher."""
    return np.full(EMBEDDING_SHAPE, -1 if mirrored else 1, np.float16)


class TestImages:
    @settings(max_examples=10, deadline=None)
    @given(st.integers(1, 700), st.integers(1, 700), st.booleans())
    def test_they_are_what_predicting_reads(self, tmp_path_factory, height, width, mirrored):
        path = tmp_path_factory.mktemp("image") / "a.png"
        image = tiny.image(height, width)
        imaging.save(image, path)
        images = EmbeddedImages([path], TASK, constant, device=CPU, flip=True)
        assert len(images) == 2
        for _ in range(2):  # the second pass reads from memory
            prepared, embedding, covered = images[int(mirrored)]
            expected, placement = TASK.preprocess(image)
            seen = expected["image"][0]
            if mirrored:
                seen = np.zeros_like(seen)
                content = expected["image"][0][:, : placement.content.height, : placement.content.width]
                seen[:, : placement.content.height, : placement.content.width] = content[:, :, ::-1]
            np.testing.assert_array_equal(prepared, seen)
            assert embedding[0, 0, 0] == (-1 if mirrored else 1)
            rows, columns = (-(-side // 8) for side in placement.content)
            assert covered.sum() == covered[:rows, :columns].sum() == rows * columns

    def test_batches(self, tmp_path):
        paths = [tmp_path / "a.png", tmp_path / "b.png"]
        for path, size in zip(paths, [(40, 60), (60, 30)], strict=True):
            imaging.save(tiny.image(*size), path)
        images = EmbeddedImages(paths, TASK, constant, device=CPU, flip=False)
        batch = images.batch([1, 0], torch.Generator())
        assert {name: (tuple(t.shape), t.dtype) for name, t in batch.items()} == {
            "image": ((2, 3, 512, 512), torch.float32),
            "embedding": ((2, *EMBEDDING_SHAPE), torch.float32),
            "covered": ((2, 64, 64), torch.bool),
        }
        assert batch["covered"].sum(dim=(1, 2)).tolist() == [32 * 64, 64 * 43]


class TestLoss:
    BATCH = {  # noqa: RUF012
        "image": torch.zeros(1, 3, 8, 8),
        "embedding": torch.ones(1, 4, 2, 2),
        "covered": torch.tensor([[[True, True], [False, False]]]),
    }

    def loss(self, off, beyond, **settings):
        answer = self.BATCH["embedding"].clone()
        answer[:, :, 0] += off
        answer[:, :, 1] += beyond
        return DistillationLoss(**settings)(lambda image: answer, self.BATCH)

    def test_squared_error(self):
        assert self.loss(2.0, 0.0, padding=0.0)["loss"] == pytest.approx(4)
        assert self.loss(2.0, 1.0, padding=1.0)["loss"] == pytest.approx(2.5)
        assert self.loss(2.0, 1.0, padding=0.25)["loss"] == pytest.approx((2 * 4 + 0.5 * 1) / 2.5)

    def test_smooth(self):
        assert self.loss(2.0, 0.0, kind="smooth_l1", padding=0.0)["loss"] == pytest.approx(1.5)

    def test_cosine_knows_no_length(self):
        parts = self.loss(2.0, 0.0, cosine=3.0)
        assert parts["cosine"] == pytest.approx(0, abs=1e-6)
        parts = self.loss(-2.0, -2.0, cosine=3.0)
        assert parts["cosine"] == pytest.approx(2)
        assert parts["loss"] == pytest.approx(float(parts["embedding"]) + 6)


class _Constant(Network):
    """The same embedding for every image: 2, and 50 in the cells of the right half."""

    def __init__(self):
        super().__init__()
        self.value = torch.nn.Parameter(torch.full(EMBEDDING_SHAPE, 2.0))
        self.value.data[..., 32:] = 50

    def functions(self):
        return dict.fromkeys(TASK.signatures, self)

    def forward(self, x):
        return self.value.expand(len(x), -1, -1, -1)


def test_scores_are_of_the_cells_that_show_the_image(tmp_path):
    path = tmp_path / "a.png"
    imaging.save(tiny.image(60, 30), path)
    images = EmbeddedImages([path], TASK, constant, device=CPU, flip=False)
    scores = EmbeddingScores(images, find_model(tiny_promptable.NAME).manifest(), "cpu")(_Constant())
    assert scores == pytest.approx({"mse": 1.0, "cosine": 100.0})


def test_the_student_begins_at_the_teachers_scale(tmp_path, monkeypatch):
    tiny_promptable.install(monkeypatch)
    student = tiny_promptable.write(tmp_path / "student.safetensors")
    channel = torch.arange(EMBEDDING_SHAPE[0]).view(-1, 1, 1) / 100
    noise = torch.randn(EMBEDDING_SHAPE, generator=torch.Generator().manual_seed(0))
    teacher = (0.1 * (noise - 1) + channel).half().numpy()
    path = tmp_path / "a.png"
    imaging.save(tiny.image(64, 64), path)
    images = EmbeddedImages([path], TASK, lambda path, mirrored: teacher, device=CPU, flip=True)
    match_scale(student, images)
    norm = student.image_encoder.norm
    torch.testing.assert_close(norm.weight, torch.full_like(norm.weight, 0.1), atol=0.01, rtol=0)
    torch.testing.assert_close(norm.bias, channel.flatten() - 0.1, atol=0.01, rtol=0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    tiny_promptable.install(monkeypatch)
    for index in range(4):
        path = tmp_path / "data" / ("val" if index == 3 else "train") / "more" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        imaging.save(tiny.image(64, 80, seed=index), path)
    return tmp_path / "data"


def options(teacher, **changes):
    few = {"steps": 4, "batch": 2, "validate_every": 2, "checkpoint_every": 2, "warmup_steps": 1, "threads": 1}
    own = {"architecture": tiny_promptable.NAME, "teacher": str(teacher), "device": "cpu", "precision": "fp32"}
    return DistillOptions(**few | own | changes)


@pytest.mark.slow
def test_training_learns_resumes_exactly_and_keeps_the_prompts_side(folder, tmp_path):
    teacher = tiny_promptable.write(tmp_path / "teacher.safetensors")
    chosen = options(tmp_path / "teacher.safetensors", cosine=0.1)
    whole = fit(sam_distill.recipe(folder, chosen), tmp_path / "whole")
    assert len(list((folder / "embeddings").iterdir())) == 7
    fit(sam_distill.recipe(folder, chosen), tmp_path / "half", stop_after=2)
    assert fit(sam_distill.recipe(folder, chosen), tmp_path / "half", resume=True) == whole
    states = [torch.load(tmp_path / name / "last.pt", weights_only=True)["model"] for name in ("whole", "half")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])

    network, manifest = load_network(
        tmp_path / "whole" / "best.safetensors", find_model(tiny_promptable.NAME).manifest()
    )
    assert set(manifest.metrics) == {"val/mse", "val/cosine"}
    learned, taught = network.state_dict(), teacher.state_dict()
    same = {name for name in learned if torch.equal(learned[name], taught[name])}
    assert {name for name in learned if not name.startswith("image_encoder.")} <= same
    assert "image_encoder.neck.output.conv.weight" not in same


def test_a_trained_backbone_is_the_start(folder, tmp_path):
    tiny_promptable.write(tmp_path / "teacher.safetensors")
    chosen = options(tmp_path / "teacher.safetensors", start=str(tiny.safetensors()), flip=False)
    student = sam_distill.recipe(folder, chosen).model
    expected = tiny.stored()[0].backbone.state_dict()
    found = student.image_encoder.backbone.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "seg-b0"}, "architecture must be one of sam-l0"),
        ({"padding": -1.0}, "must not be negative"),
        ({"cosine": -1.0}, "must not be negative"),
    ],
)
def test_options_that_cannot_be(change, message):
    with pytest.raises(UsageError, match=message):
        options("teacher.pt", **change)


def test_a_teacher_is_needed(folder):
    with pytest.raises(UsageError, match="--teacher FILE"):
        sam_distill.recipe(folder, options(""))
