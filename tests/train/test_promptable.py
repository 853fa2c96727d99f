"""Prompts belong to their masks, every weight that learns is reached, and the recipe trains and resumes."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from densevit import imaging, masks
from densevit.checkpoints.loading import load_network
from densevit.core.errors import InputError, UsageError
from densevit.data.base import DataError, PromptableSample
from densevit.evaluate import evaluate_promptable
from densevit.imaging import Size
from densevit.recipes import sam_distill, sam_finetune
from densevit.recipes.sam_distill import DistillOptions
from densevit.recipes.sam_finetune import FinetuneOptions
from densevit.tasks.promptable import make_promptable_task
from densevit.tasks.prompts import convert_prompts
from densevit.train.coverage import Coverage
from densevit.train.loop import fit
from densevit.train.mask_losses import MaskLoss
from densevit.train.mask_scores import BoxScores
from densevit.train.promptable import PromptedImages, Prompting, PromptTraining
from densevit.zoo import find_model
from helpers import tiny, tiny_promptable

CPU = torch.device("cpu")
MANIFEST = find_model(tiny_promptable.NAME).manifest()
TASK = make_promptable_task(MANIFEST)


def sample(height=60, width=90, *, seed=0, empty=False):
    """Two rectangles, a disc, a mask of nothing and one of a single pixel; or no object at all."""
    rows, columns = np.mgrid[:height, :width]
    found = [
        (rows >= height // 4) & (columns < width // 2),
        (rows < height // 3) & (columns >= width // 3),
        (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (min(height, width) / 3) ** 2,
        np.zeros((height, width), bool),
    ]
    rles = () if empty else tuple(masks.encode(mask) for mask in found)
    boxes = np.array([rle.box for rle in rles], np.float32).reshape(-1, 4)
    areas = np.array([rle.area for rle in rles], np.float64)
    ids = np.arange(len(rles))
    return PromptableSample(f"{seed}.png", tiny.image(height, width, seed=seed), rles, boxes, areas, ids, seed)


def images(data, **changes):
    return PromptedImages(data, TASK, device=CPU, prompting=Prompting(**changes))


class TestCoverage:
    def test_shares_by_hand(self):
        # an image of 512 x 256 fills 1024 x 512 of the frame: a cell is 2 x 2 pixels
        mask = np.zeros((3, 3), bool)
        mask[:, :] = True
        cells = Coverage(Size(1024, 512), Size(512, 256))(mask, 2, 3)
        expected = np.zeros((256, 256), int)
        expected[1:3, 1:3] = np.rint(255 * np.outer([1, 0.5], [0.5, 1]))
        np.testing.assert_array_equal(cells, expected)

    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 90), st.integers(1, 90))
    def test_a_full_mask_fills_what_the_image_does(self, height, width):
        content = TASK.content_in_frame(TASK.preprocess(np.zeros((height, width, 3), np.uint8))[1])
        cells = Coverage(content, Size(height, width))(np.ones((height, width), bool), 0, 0)
        rows, columns = (-(-side // 4) for side in content)
        assert (cells[:rows, :columns] == 255).all()
        assert cells.astype(int).sum() == 255 * rows * columns

    @settings(max_examples=20, deadline=None)
    @given(st.integers(8, 60), st.integers(8, 60), st.integers(0, 2**32 - 1))
    def test_enlarged_again_it_is_the_mask(self, height, width, seed):
        """Its half is where the predicted masks' 0 would be."""
        chance = np.random.default_rng(seed)
        y0, x0 = chance.integers(0, height // 2), chance.integers(0, width // 2)
        window = np.ones((height // 4 + 1, width // 4 + 1), bool)
        placement = TASK.preprocess(np.zeros((height, width, 3), np.uint8))[1]
        cells = Coverage(TASK.content_in_frame(placement), placement.image)(window, y0, x0)
        mask = np.zeros((height, width), bool)
        mask[y0 : y0 + window.shape[0], x0 : x0 + window.shape[1]] = True
        found = TASK.upsampling(placement).enlarge(cells.astype(np.float32) / 255 - 0.5) > 0
        np.testing.assert_array_equal(found, mask)


class TestPrompts:
    @settings(max_examples=20, deadline=None)
    @given(st.integers(20, 200), st.integers(20, 200), st.integers(0, 2**32), st.booleans())
    def test_points_lie_inside_their_masks(self, height, width, seed, flip):
        found = images([sample(height, width)], boxes=0.0, flip=flip).prompt_image(0, seed)
        objects, tokens = found.labels.shape
        assert objects == 3
        assert 2 <= tokens <= 11
        assert (found.labels == [1] * (tokens - 1) + [-1]).all()
        for points, cells in zip(found.points[:, :-1], found.masks, strict=True):
            # a point names a pixel by its upper left corner
            pixel = 1024 / max(height, width)
            columns, rows = ((points + pixel / 2) / 4).astype(int).T
            assert (cells[rows, columns] > 0).all()

    @settings(max_examples=20, deadline=None)
    @given(st.integers(20, 200), st.integers(20, 200), st.integers(0, 2**32), st.booleans())
    def test_boxes_are_the_masks_own(self, height, width, seed, flip):
        found = images([sample(height, width)], boxes=1.0, flip=flip).prompt_image(0, seed)
        assert (found.labels == [2, 3]).all()
        for (upper_left, lower_right), cells in zip(found.points, found.masks, strict=True):
            rows, columns = (np.flatnonzero(cells.any(axis=axis)) for axis in (1, 0))
            assert (np.floor(upper_left / 4 + 1e-4) == [columns[0], rows[0]]).all()
            assert (np.ceil(lower_right / 4 - 1e-4) == [columns[-1] + 1, rows[-1] + 1]).all()

    def test_they_are_what_predicting_makes_of_them(self):
        one = sample()
        found = images([one], boxes=1.0, flip=False).prompt_image(0, 0)
        expected = convert_prompts(
            Size(60, 90), TASK.content_in_frame(TASK.preprocess(one.image)[1]), boxes=one.boxes[:3]
        )
        order = np.lexsort(found.points.reshape(3, 4).T), np.lexsort(expected.points.reshape(3, 4).T)
        np.testing.assert_array_equal(found.points[order[0]], expected.points[order[1]])

    def test_mirrored_images_have_mirrored_masks(self):
        one = sample()
        many = images([one], boxes=1.0)
        found = [many.prompt_image(0, seed) for seed in range(8)]
        image = TASK.preprocess(one.image)[0]["image"][0]
        mirrored = [item for item in found if not np.array_equal(item.image, image)]
        assert 0 < len(mirrored) < 8
        x0, y0, x1, y1 = one.boxes[:3].T * (1024 / 90)
        expected = np.sort(np.stack([1024 - x1, y0, 1024 - x0, y1], axis=1), axis=0)
        for item in mirrored:
            np.testing.assert_allclose(np.sort(item.points.reshape(-1, 4), axis=0), expected, atol=1)

    def test_some_of_the_objects(self):
        few = images([sample()], masks=2)
        seen = [few.prompt_image(0, seed).masks for seed in range(6)]
        assert all(len(cells) == 2 for cells in seen)
        assert len({cells.astype(int).sum() for cells in seen}) > 1

    def test_images_without_objects_give_way(self):
        many = images([sample(seed=0, empty=True), sample(seed=1, empty=True), sample(seed=2)], flip=False)
        for index in range(3):
            found = many.prompt_image(index, 5)
            np.testing.assert_array_equal(found.image, many.prompt_image(2, 5).image)
        with pytest.raises(DataError, match="no image of this data has an object"):
            images([sample(empty=True)]).prompt_image(0, 0)

    def test_objects_too_small_for_a_cell_are_left_out(self):
        mask = np.zeros((2000, 2000), bool)
        mask[7, 7] = True
        large = replace(sample(2000, 2000), masks=(masks.encode(mask),))
        with pytest.raises(DataError, match="large enough to find"):
            images([large]).prompt_image(0, 0)

    @pytest.mark.parametrize(
        "change", [{"masks": 0}, {"points": 0}, {"points": 257}, {"boxes": 1.5}, {"multimask": -0.1}]
    )
    def test_settings_that_cannot_be(self, change):
        with pytest.raises(UsageError, match=r"must be at least 1|are shares"):
            Prompting(**change)


def test_a_batch():
    many = images([sample(seed=0), sample(50, 40, seed=1)], masks=2)
    batches = [many.batch([1, 0], torch.Generator().manual_seed(seed)) for seed in range(12)]
    for batch in batches:
        tokens = batch["tokens"].tolist()
        assert batch["image"].shape == (2, 3, 512, 512)
        assert batch["prompts"].tolist() == [2, 2]
        assert batch["points"].shape == (4, max(tokens), 2)
        assert batch["masks"].shape == (4, 256, 256)
        assert batch["masks"].dtype == torch.uint8
        for rows, count in zip(batch["labels"].split(2), tokens, strict=True):
            assert (rows[:, count:] == -1).all()
    assert {bool(batch["multimask"]) for batch in batches} == {False, True}
    assert {int(batch["labels"][0, 0]) for batch in batches} == {1, 2}
    again = many.batch([1, 0], torch.Generator().manual_seed(3))
    assert all(torch.equal(again[name], batches[3][name]) for name in again)


@pytest.fixture
def model(tmp_path, monkeypatch):
    tiny_promptable.install(monkeypatch)
    return tiny_promptable.write(tmp_path / "start.safetensors")


def inputs(batch):
    return [batch[name] for name in ("image", "points", "labels", "prompts", "tokens")]


class TestModel:
    def batch(self, seed=0, **changes):
        return images([sample(seed=0), sample(50, 40, seed=1)], masks=2, **changes).batch(
            [0, 1], torch.Generator().manual_seed(seed)
        )

    def test_it_answers_as_predicting_does(self, model):
        """Image by image, without the points that fill others up."""
        batch = next(batch for batch in map(self.batch, range(20)) if len(set(batch["tokens"].tolist())) == 2)
        trainee = PromptTraining(model).eval()
        functions = model.eval().functions()
        with torch.no_grad():
            found = trainee(*inputs(batch))
            for index, length in enumerate(batch["tokens"].tolist()):
                rows = slice(2 * index, 2 * index + 2)
                embedding = functions["encode_image"](batch["image"][index : index + 1])
                points, labels = batch["points"][rows, :length], batch["labels"][rows, :length]
                expected = functions["decode_masks"](embedding, points, labels)
                for ours, theirs in zip(found, expected, strict=True):
                    torch.testing.assert_close(ours[rows], theirs, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize(("boxes", "multimask"), [(0.0, 1.0), (1.0, 0.0)])
    @pytest.mark.parametrize("trained", ["all", "encoder", "decoder"])
    def test_every_weight_that_learns_is_used_in_every_step(self, model, trained, boxes, multimask):
        """DistributedDataParallel waits for those that are not."""
        trainee = PromptTraining(model, trained=trained).train()
        MaskLoss(points=64)(trainee, self.batch(multimask=multimask, boxes=boxes))["loss"].backward()
        learning = {name for name, weight in trainee.named_parameters() if weight.requires_grad}
        reached = {name for name, weight in trainee.named_parameters() if weight.grad is not None}
        assert learning == reached
        parts = {name.split(".")[1] for name in learning}
        encoder, others = {"image_encoder"}, {"prompt_encoder", "mask_decoder"}
        assert parts == {"all": encoder | others, "encoder": encoder, "decoder": others}[trained]
        assert not any("mask_downscaling" in name for name in learning)
        if trained != "encoder":
            assert model.mask_decoder.iou_prediction_head.layers[0].weight.grad.abs().sum() > 0

    def test_an_encoder_that_does_not_learn_keeps_its_statistics(self, model):
        before = {name: value.clone() for name, value in model.image_encoder.state_dict().items()}
        PromptTraining(model, trained="decoder").train()(*inputs(self.batch()))
        after = model.image_encoder.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)


class TestBoxScores:
    """Validation in training is `eval` by boxes: one protocol, one number."""

    @staticmethod
    def usable(model):
        from densevit.predict.segment_anything import SegmentAnything
        from densevit.runtimes.eager import EagerRuntime

        return SegmentAnything(TASK, EagerRuntime(model, MANIFEST, device="cpu"), MANIFEST)

    @pytest.mark.parametrize("box", [(200, 200, 300, 300), (5, 5, 5, 40), (7, 9, 7, 9)])
    def test_the_same_as_eval_for_boxes_without_area_or_outside(self, model, box):
        one = sample()
        odd = replace(one, boxes=np.concatenate([one.boxes[:3], np.array([box], np.float32)]))
        data = Listed([odd, sample(empty=True)])
        expected = evaluate_promptable(self.usable(model), data).metrics
        assert BoxScores(data, MANIFEST, "cpu")(model) == {k: v for k, v in expected.items() if v is not None}

    def test_they_are_of_the_best_masks_for_the_boxes(self, model):
        one = sample()
        data = Listed(
            [replace(one, masks=one.masks[:3], boxes=one.boxes[:3], areas=one.areas[:3], ids=one.ids[:3])]
        )
        found = BoxScores(data, MANIFEST, "cpu")(model)
        answer = self.usable(model).predict(one.image, boxes=one.boxes[:3], multimask=True).best()
        overlaps = [masks.iou(ours.rle, theirs) for ours, theirs in zip(answer, one.masks[:3], strict=True)]
        assert found["iou"] == pytest.approx(100 * np.mean(overlaps), abs=1e-6)
        assert found["iou"] > 0
        assert "iou_large" not in found

    def test_the_first_images_only(self, model):
        with pytest.raises(InputError, match="object"):
            BoxScores(Listed([sample(empty=True), sample()]), MANIFEST, "cpu", images=1)(model)


class Listed(list):
    """Samples as a data set."""

    task = "promptable"


def write_coco(root):
    """Three images to train on, the first without an object, and one to validate on."""
    for split, numbers in (("train", [1, 2, 3]), ("val", [4])):
        (root / f"{split}2017").mkdir(parents=True)
        images, annotations = [], []
        for number in numbers:
            made = sample(64, 80, seed=number, empty=number == 1)
            name = f"{number}.png"
            imaging.save(made.image, root / f"{split}2017" / name)
            images.append({"id": number, "file_name": name, "height": 64, "width": 80})
            for index, rle in enumerate(made.masks[:3]):
                x0, y0, x1, y1 = rle.box
                annotations.append(
                    {
                        "id": 10 * number + index,
                        "image_id": number,
                        "category_id": 1,
                        "segmentation": rle.to_coco(),
                        "bbox": [x0, y0, x1 - x0, y1 - y0],
                        "area": rle.area,
                        "iscrowd": 0,
                    }
                )
        text = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(text), encoding="utf-8")


@pytest.fixture
def coco(tmp_path):
    write_coco(tmp_path / "coco")
    return tmp_path / "coco"


def options(**changes):
    few = {"steps": 2, "batch": 2, "validate_every": 2, "checkpoint_every": 1, "threads": 1, "masks": 2}
    return FinetuneOptions(**few | {"device": "cpu", "precision": "fp32", "learning_rate": 1e-4} | changes)


class TestRecipe:
    @pytest.mark.slow
    def test_it_trains_resumes_exactly_and_leaves_a_model(self, model, coco, tmp_path):
        chosen = options(start=str(tmp_path / "start.safetensors"))
        whole = fit(sam_finetune.recipe(coco, chosen), tmp_path / "whole")
        fit(sam_finetune.recipe(coco, chosen), tmp_path / "half", stop_after=2)
        assert fit(sam_finetune.recipe(coco, chosen), tmp_path / "half", resume=True) == whole
        states = [
            torch.load(tmp_path / name / "last.pt", weights_only=True)["model"] for name in ("whole", "half")
        ]
        assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])

        network, manifest = load_network(tmp_path / "whole" / "best.safetensors", MANIFEST)
        assert manifest.architecture == tiny_promptable.NAME
        assert {"val/iou", "val/iou_medium"} <= set(manifest.metrics)
        assert list(network.state_dict()) == list(model.state_dict())

    def test_a_few_steps_lower_the_loss(self, model, coco, tmp_path):
        chosen = options(
            start=str(tmp_path / "start.safetensors"), trained="decoder", masks=1, multimask=0.0, boxes=1.0
        )
        training = sam_finetune.recipe(coco, chosen)
        optimizer = torch.optim.AdamW(training.model.parameters(), lr=1e-3)
        batch = training.batches.make([1], torch.Generator().manual_seed(0))
        losses = []
        for _ in range(6):
            found = training.loss(training.model.train(), batch)
            optimizer.zero_grad()
            found["loss"].backward()
            optimizer.step()
            losses.append(found["loss"].item())
        assert losses[-1] < 0.9 * losses[0]

    def test_random_weights_only_where_asked_for(self, model, coco, tmp_path):
        assert sam_finetune.recipe(coco, options(scratch=True)).metric == "iou"
        for wrong in ({}, {"scratch": True, "start": str(tmp_path / "start.safetensors")}):
            with pytest.raises(UsageError, match="--start FILE, or --scratch"):
                sam_finetune.recipe(coco, options(**wrong))

    def test_weights_of_another_architecture_are_refused(self, model, coco, tmp_path):
        with pytest.raises(
            UsageError, match="holds seg-b0, but architecture is sam-l0; give the weights of a promptable"
        ):
            sam_finetune.recipe(coco, options(start=str(tiny.safetensors())))
        with pytest.raises(
            UsageError, match="holds sam-l0, but architecture is sam-l1; pass --architecture sam-l0"
        ):
            sam_finetune.recipe(coco, options(start=str(tmp_path / "start.safetensors"), architecture="sam-l1"))

    def test_parts_of_sa1b_are_folders(self, model, coco):
        with pytest.raises(DataError, match="move the images into"):
            sam_finetune.recipe(coco, options(scratch=True, kind="sa1b"))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"architecture": "seg-b0"}, "architecture must be one of sam-l0"),
            ({"val_images": -1}, "must not be negative"),
            ({"masks": 0}, "masks must be at least 1"),
        ],
    )
    def test_options_that_cannot_be(self, change, message):
        with pytest.raises(UsageError, match=message):
            options(**change)


def test_a_distillation_may_be_judged_by_boxes(model, coco, tmp_path):
    for split in ("train", "val"):
        (coco / f"{split}2017").rename(tmp_path / split)
        (coco / f"{split}2017").symlink_to(tmp_path / split)
    chosen = DistillOptions(
        architecture=tiny_promptable.NAME,
        teacher=str(tmp_path / "start.safetensors"),
        device="cpu",
        precision="fp32",
        boxes=str(coco),
    )
    training = sam_distill.recipe(tmp_path, chosen)
    assert {"mse", "cosine", "iou"} <= set(training.validate(training.model))


def test_options_are_shown():
    command = [sys.executable, "-m", "densevit", "train", "sam_finetune", "--show", "--trained", "decoder"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert {"architecture=sam-l0", "trained=decoder", "weight_decay=0.1", "clip_norm=2.0"} <= set(shown)
