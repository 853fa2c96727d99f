"""Scores by the steps that predict, with a made runtime whose answers are known."""

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from densevit import evaluate as evaluating
from densevit.core.classes import read_class_table, read_imagenet_wnids
from densevit.core.errors import UsageError
from densevit.data.base import ClassificationSample, DataError, SegmentationSample
from densevit.data.tiled import Tiled
from densevit.evaluate import evaluate
from densevit.imaging import Size, SizePolicy
from densevit.recipes.camvid import CAMVID_OF_CITYSCAPES
from densevit.tasks.one_call import OneCallTask
from densevit.tasks.segmentation import Segmentation
from helpers import tiny

NAMES = ("road", "car", "sky")


def task(names=NAMES) -> Segmentation:
    return Segmentation(names, np.zeros((len(names), 3), np.uint8), size=SizePolicy("native"), multiple=8)


def evaluate_segmentation(task, runtime, data, **options):
    return evaluating.evaluate_segmentation(task, runtime, data, class_names=task.class_names, **options)


def evaluate_classification(task, runtime, data, **options):
    return evaluating.evaluate_classification(task, runtime, data, class_names=task.class_names, **options)


class Reads:
    """The class of each 8 x 8 block is its red value."""

    name, precision, device = "reads", "fp32", "cpu"

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def run(self, function, tensors):
        assert function == "forward"
        blocks = tensors["image"][:, 4::8, 4::8, 0]
        logits = blocks[:, None] == np.arange(self.classes)[:, None, None]
        return {"logits": 100 * logits.astype(np.float32)}


class Data:
    task = "segmentation"
    class_names = NAMES
    palette = np.zeros((3, 3), np.uint8)

    def __init__(self, *pairs) -> None:
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        red, labels = self.pairs[index]
        image = np.repeat(np.uint8(red)[..., None], 3, axis=2)
        return SegmentationSample(str(index), image, np.asarray(labels, np.uint8))


def block(value: int, rows: int = 8, columns: int = 8) -> np.ndarray:
    return np.full((rows, columns), value, np.uint8)


def test_intersections_and_unions_are_summed_over_images():
    target = block(0)
    target[:, 4:] = 1
    target[0] = 255
    data = Data((block(0), target), (block(1), block(1)))
    progress = []
    evaluation = evaluate_segmentation(
        task(), Reads(3), data, progress=lambda done, total: progress.append((done, total))
    )
    # road: 28 hit, 28 of the cars are taken for road; car: 64 hit, 28 missed; sky: nowhere
    assert evaluation.metrics["iou_per_class"] == {
        "road": pytest.approx(50),
        "car": pytest.approx(100 * 64 / 92),
        "sky": None,
    }
    assert evaluation.metrics["miou"] == pytest.approx((50 + 100 * 64 / 92) / 2)
    assert evaluation.metrics["pixel_accuracy"] == pytest.approx(100 * 92 / 120)
    assert evaluation.images == 2
    assert evaluation.seconds >= 0
    assert progress == [(1, 2), (2, 2)]


def test_odd_sizes_and_several_classes():
    red = np.concatenate([block(0, 21), block(1, 21), block(2, 21, 5)], axis=1)
    evaluation = evaluate_segmentation(task(), Reads(3), Data((red, red)))
    assert evaluation.metrics["miou"] > 90


def test_a_class_map_bridges_other_classes():
    more = task(("street", "lane", "vehicle", "air"))
    data = Data((block(1), block(0)), (block(2), block(1)), (block(3), block(2)))
    evaluation = evaluate_segmentation(more, Reads(4), data, class_map=[0, 0, 1, 2])
    assert evaluation.metrics["miou"] == pytest.approx(100)
    worse = evaluate_segmentation(more, Reads(4), data, class_map=[0, 1, 1, 2])
    assert worse.metrics["iou_per_class"] == {"road": 0, "car": 50, "sky": 100}


def test_a_class_of_the_model_that_the_data_has_not_misses():
    data = Data((block(0), block(0)), (block(2), block(2)))
    metrics = evaluate_segmentation(task(), Reads(3), data, class_map=[0, 1, -1]).metrics
    assert metrics["iou_per_class"] == {"road": 100, "car": None, "sky": 0}
    assert metrics["pixel_accuracy"] == pytest.approx(50)


def test_data_without_a_known_pixel_is_refused():
    with pytest.raises(ValueError, match="no pixel of this data has a label"):
        evaluate_segmentation(task(), Reads(3), Data((block(0), block(255))))


@pytest.mark.parametrize(
    ("names", "class_map", "message"),
    [
        (("a", "b"), None, r"the model has 2 classes \(a, b.*the data 3.*class map"),
        (("road", "sky", "car"), None, "class map"),
        (NAMES, [0, 1], "the class map has 2 entries, the model 3 classes"),
        (NAMES, [0, 1, 3], r"integers in .*2"),
        (NAMES, [0, 1, -2], r"integers in .*2"),
        (NAMES, [0, 1, 1.0], r"integers in .*2"),
        (NAMES, [0, 1, "2"], r"integers in .*2"),
        (NAMES, [0, 1, None], r"integers in .*2"),
    ],
)
def test_classes_that_do_not_fit_are_refused(names, class_map, message):
    with pytest.raises(ValueError, match=message):
        evaluate_segmentation(task(names), Reads(3), Data((block(0), block(0))), class_map=class_map)


# --- classification


class Classify(OneCallTask):
    """Logits are the first pixels of the red channel."""

    signatures = {"forward": None}  # noqa: RUF012

    def __init__(self, names) -> None:
        self.class_names = tuple(names)

    def preprocess(self, image):
        return {"image": image[None]}, None

    def postprocess(self, raw, placement, image=None):
        return SimpleNamespace(logits=raw["logits"][0])


class Reds:
    name, precision, device = "reds", "fp32", "cpu"

    def run(self, function, tensors):
        assert function == "forward"
        return {"logits": tensors["image"][:, 0, :, 0].astype(np.float32)}


class Labeled:
    task = "classification"

    def __init__(self, names, *pairs) -> None:
        self.class_names = tuple(names)
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        logits, label = self.pairs[index]
        image = np.repeat(np.array([logits], np.uint8)[..., None], 3, axis=2)
        return ClassificationSample(str(index), image, label)


SIX = ("ant", "bee", "cat", "dog", "eel", "fox")
PAIRS = (([9, 0, 0, 0, 0, 0], 0), ([9, 8, 7, 6, 5, 4], 5), ([9, 8, 7, 6, 5, 4], 4), ([0, 9, 0, 0, 0, 0], 1))


def test_top_accuracies():
    progress = []
    evaluation = evaluate_classification(
        Classify(SIX), Reds(), Labeled(SIX, *PAIRS), progress=lambda done, total: progress.append((done, total))
    )
    assert evaluation.metrics == {"top1": 50.0, "top5": 75.0}
    assert evaluation.images == 4
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_some_classes_in_another_order_meet_by_name():
    data = Labeled(("fox", "bee"), ([0, 9, 0, 0, 0, 0], 1), ([0, 0, 0, 0, 0, 9], 0))
    assert evaluate_classification(Classify(SIX), Reds(), data).metrics["top1"] == 100


def test_imagenets_classes_meet_by_their_identifiers():
    # a model of the 1000 classes on the folders of some of them, in any order
    names, wnids = read_class_table("imagenet").names, read_imagenet_wnids()
    chosen = (wnids[7], wnids[3], wnids[900])

    class Knows(OneCallTask):
        signatures = {"forward": None}  # noqa: RUF012
        """Always answers with the class that the image's red value numbers."""

        class_names = names

        def preprocess(self, image):
            return {"image": image[None]}, None

        def postprocess(self, raw, placement, image=None):
            return SimpleNamespace(logits=np.eye(1000, dtype=np.float32)[raw["index"]])

    class Index:
        def run(self, function, tensors):
            return {"index": (7, 3, 900)[int(tensors["image"][0, 0, 0, 0])]}

    class Samples:
        class_names = chosen

        def __len__(self):
            return 4

        def __getitem__(self, index):
            # the last one is labeled as another class than its image shows
            shown, label = ((0, 0), (1, 1), (2, 2), (0, 2))[index]
            return ClassificationSample("x", np.full((8, 8, 3), shown, np.uint8), label)

    assert evaluate_classification(Knows(), Index(), Samples()).metrics["top1"] == 75


def test_ids_mean_nothing_to_other_models():
    ids = tuple(f"n0000000{index}" for index in range(6))
    with pytest.raises(ValueError, match=r"6 classes \(ant, bee, cat .*the data 6 \(n00000000.*WordNet"):
        evaluate_classification(Classify(SIX), Reds(), Labeled(ids, *PAIRS))


def test_other_classes_do_not_meet():
    with pytest.raises(ValueError, match="the names must agree"):
        evaluate_classification(Classify(SIX), Reds(), Labeled(("a", "b", "c", "d", "e", "f"), *PAIRS))


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="no image"):
        evaluate_classification(Classify(SIX), Reds(), Labeled(SIX))


# --- by task


def model(task_name, made, runtime):
    names = getattr(made, "class_names", ())
    manifest = tiny.manifest(task=task_name, class_names=names, palette=())
    return SimpleNamespace(manifest=manifest, task=made, runtime=runtime)


def test_the_task_decides():
    data = Data((block(0), block(0)))
    assert evaluate(model("segmentation", task(), Reads(3)), data).metrics["miou"] == 100
    classes = Labeled(SIX, *PAIRS)
    assert evaluate(model("classification", Classify(SIX), Reds()), classes).metrics["top1"] == 50


def test_data_of_another_task():
    with pytest.raises(ValueError, match=r"tiny: its task is segmentation.*kinds that fit: camvid, cityscapes"):
        evaluate(model("segmentation", task(), Reads(3)), Labeled(SIX, *PAIRS))
    with pytest.raises(ValueError, match=r"its task is classification.*kinds that fit: imagenet"):
        evaluate(model("classification", Classify(SIX), Reds()), Data((block(0), block(0))))
    with pytest.raises(ValueError, match=r"its task is promptable.*kinds that fit: coco, lvis, sa1b"):
        evaluate(model("promptable", None, None), Data((block(0), block(0))))


def test_a_class_map_is_for_segmentation():
    with pytest.raises(ValueError, match="a class map is for segmentation"):
        evaluate(model("classification", Classify(SIX), Reds()), Labeled(SIX, *PAIRS), class_map=[0])


@pytest.mark.parametrize("options", [{"prompt": "point"}, {"clicks": 2}, {"boxes": {}}])
def test_prompts_are_for_promptable_models(options):
    # they were ignored
    with pytest.raises(UsageError, match="are for promptable models, not for segmentation"):
        evaluate(model("segmentation", task(), Reads(3)), Data((block(0), block(0))), **options)


# --- tiles


class SizedData(Data):
    def image_size(self, index):
        return Size(*self.pairs[index][0].shape)


@pytest.mark.parametrize("tile", [8, 16, 24])
def test_tiles_are_not_counted_as_images(tile):
    red = np.kron([[0, 1, 2], [2, 1, 0]], np.ones((16, 16))).astype(np.uint8)
    data = SizedData((red, red), (block(1, 20, 28), block(1, 20, 28)))
    tiled = Tiled(data, tile, 8)
    progress = []
    evaluation = evaluate_segmentation(
        task(), Reads(3), tiled, progress=lambda done, total: progress.append((done, total))
    )
    assert len(tiled) > 2
    assert evaluation.images == tiled.images == 2
    # the bar advances by tiles
    assert progress[-1] == (len(tiled), len(tiled))
    assert evaluate_segmentation(task(), Reads(3), data).images == 2


# --- several processes


@dataclass
class Together:
    """Processes as threads of this process: sums meet at a barrier."""

    rank: int
    size: int
    meeting: threading.Barrier
    counts: dict

    def sum(self, counts):
        self.counts[self.rank] = counts
        self.meeting.wait(timeout=20)
        return sum(self.counts.values())


def shared(action, size):
    """What `action(processes)` gives on each of several processes."""
    meeting, counts, results = threading.Barrier(size), {}, {}

    def work(rank):
        results[rank] = action(Together(rank, size, meeting, counts))

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[rank] for rank in range(size)]


@pytest.mark.parametrize("size", [2, 3, 5])
def test_ranks_get_the_score_of_one_process(size):
    generator = np.random.default_rng(0)
    pairs = [(block(0), generator.choice([0, 1, 2, 255], (8, 8))) for _ in range(4)]
    alone = evaluate_segmentation(task(), Reads(3), Data(*pairs))
    together = shared(
        lambda processes: evaluate_segmentation(task(), Reads(3), Data(*pairs), processes=processes), size
    )
    assert all(each.metrics == alone.metrics for each in together)
    assert {each.images for each in together} == {4}
    alone = evaluate_classification(Classify(SIX), Reds(), Labeled(SIX, *PAIRS))
    together = shared(
        lambda processes: evaluate_classification(
            Classify(SIX), Reds(), Labeled(SIX, *PAIRS), processes=processes
        ),
        size,
    )
    assert all(each.metrics == alone.metrics for each in together)


def test_ranks_read_disjoint_shares():
    read = [[], []]

    class Recording(Data):
        def __init__(self, log, *pairs):
            super().__init__(*pairs)
            self.log = log

        def __getitem__(self, index):
            self.log.append(index)
            return super().__getitem__(index)

    pairs = [(block(0), block(0))] * 5
    progress = [[], []]
    shared(
        lambda processes: evaluate_segmentation(
            task(),
            Reads(3),
            Recording(read[processes.rank], *pairs),
            processes=processes,
            progress=lambda done, total: progress[processes.rank].append((done, total)),
        ),
        2,
    )
    assert read == [[0, 2, 4], [1, 3]]
    assert progress == [[(1, 3), (2, 3), (3, 3)], [(1, 2), (2, 2)]]


# --- prefetch


def test_the_next_image_is_read_while_one_is_inferred():
    reading = threading.Event()

    class Slow(Reads):
        runs = 0

        def run(self, function, tensors):
            # the second image must be on its way before the first is answered
            self.runs += 1
            assert self.runs > 1 or reading.wait(timeout=20)
            return super().run(function, tensors)

    class Watched(Data):
        def __getitem__(self, index):
            if index == 1:
                reading.set()
            return super().__getitem__(index)

    data = Watched((block(0), block(0)), (block(1), block(1)))
    assert evaluate_segmentation(task(), Slow(3), data).metrics["miou"] == 100


def test_errors_of_reading_come_in_their_turn():
    class Broken(Data):
        def __getitem__(self, index):
            if index == 2:
                raise DataError("2.png: broken")
            return super().__getitem__(index)

    done = []
    data = Broken(*[(block(0), block(0))] * 4)
    with pytest.raises(DataError, match=r"2\.png: broken"):
        evaluate_segmentation(task(), Reads(3), data, progress=lambda number, total: done.append(number))
    assert done == [1, 2]


def test_the_class_map_of_the_examples_is_the_one_that_trainings_use():
    path = Path(__file__).resolve().parents[2] / "examples" / "cityscapes_to_camvid.json"
    assert tuple(json.loads(path.read_text())["map"]) == CAMVID_OF_CITYSCAPES
