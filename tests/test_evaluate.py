"""Scores by the steps that predict, with a made runtime whose answers are known."""

import numpy as np
import pytest

from densevit.data.base import SegmentationSample
from densevit.evaluate import evaluate_segmentation
from densevit.imaging import SizePolicy
from densevit.tasks.segmentation import Segmentation

NAMES = ("road", "car", "sky")


def task(names=NAMES) -> Segmentation:
    return Segmentation(names, np.zeros((len(names), 3), np.uint8), size=SizePolicy("native"), multiple=8)


class Reads:
    """The class of each 8 x 8 block is its red value."""

    name, precision, device = "reads", "fp32", "cpu"

    def __init__(self, classes: int) -> None:
        self.classes = classes

    def run(self, function, tensors):
        assert function == "forward"
        blocks = tensors["picture"][:, 4::8, 4::8, 0]
        logits = blocks[:, None] == np.arange(self.classes)[:, None, None]
        return {"logits": 100 * logits.astype(np.float32)}


class Data:
    class_names = NAMES
    palette = np.zeros((3, 3), np.uint8)

    def __init__(self, *pairs) -> None:
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        red, labels = self.pairs[index]
        picture = np.repeat(np.uint8(red)[..., None], 3, axis=2)
        return SegmentationSample(str(index), picture, np.asarray(labels, np.uint8))


def block(value: int, rows: int = 8, columns: int = 8) -> np.ndarray:
    return np.full((rows, columns), value, np.uint8)


def test_intersections_and_unions_are_summed_over_pictures():
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
    with pytest.raises(ValueError, match="no pixel of this data has a known label"):
        evaluate_segmentation(task(), Reads(3), Data((block(0), block(255))))


@pytest.mark.parametrize(
    ("names", "class_map", "message"),
    [
        (("a", "b"), None, r"the model knows 2 classes \(a, b.*the data 3.*class map"),
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
