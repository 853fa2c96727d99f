"""Cells of the decoder's masks where the image ends between two of them."""

import numpy as np
import pytest

from densevit.imaging import Size
from densevit.train.coverage import Coverage


@pytest.mark.parametrize(
    ("content", "image"),
    [
        (Size(632, 1024), Size(21, 34)),  # 632 is 158 cells: in floats 158 * 4 * 21 / 632 is not 21
        (Size(196, 1024), Size(1, 5)),
        (Size(1024, 428), Size(90, 1)),
        (Size(5, 1024), Size(1, 90)),
    ],
)
def test_a_full_mask_covers_the_cells_of_the_image_and_no_others(content, image):
    cells = Coverage(content, image)(np.ones(image, bool), 0, 0)
    rows, columns = (-(-side // 4) for side in content)
    expected = np.zeros((256, 256), np.uint8)
    expected[:rows, :columns] = 255
    np.testing.assert_array_equal(cells, expected)
