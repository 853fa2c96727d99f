"""Which images a file, a folder or a pattern means, and where their results go."""

from pathlib import Path

import pytest

from densevit.imaging import SUFFIXES, ImageError, find_images


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Makes empty files below a folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def stems(*texts: object) -> dict[str, str]:
    """Path below the working folder -> place of its results."""
    sources, errors = find_images(map(str, texts))
    assert not errors
    return {source.path.relative_to(Path.cwd()).as_posix(): source.stem.as_posix() for source in sources}


def refusal(*texts: object) -> str:
    _, (error,) = find_images(map(str, texts))
    assert isinstance(error, ImageError)
    assert "\n" not in str(error)
    return str(error)


def test_a_file_is_itself(tree):
    tree("in/street.jpg")
    assert stems("in/street.jpg") == {"in/street.jpg": "street"}
    (source,), _ = find_images(["in/street.jpg"])
    assert source.path.is_absolute()


def test_a_named_file_may_have_any_suffix(tree):
    tree("street.data", "street", "no suffix.")
    assert stems("street.data") == {"street.data": "street"}
    assert stems("street") == {"street": "street"}


def test_a_missing_file_is_a_source_so_that_reading_it_says_so(tree):
    tree("here.jpg")
    assert stems("gone.jpg", "here.jpg") == {"gone.jpg": "gone", "here.jpg": "here"}


def test_a_folder_is_all_images_below_it(tree):
    tree("in/b.png", "in/a.JPG", "in/deep/er/c.tif", "in/notes.txt", "in/a.json", "out/d.jpg")
    assert stems("in") == {"in/a.JPG": "a", "in/b.png": "b", "in/deep/er/c.tif": "deep/er/c"}
    assert list(stems("in")) == ["in/a.JPG", "in/b.png", "in/deep/er/c.tif"]
    assert stems("in/") == stems("in") == stems(Path.cwd() / "in") == stems("in/../in")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_counts_in_a_folder(tree, suffix):
    tree(f"in/x{suffix}", f"in/y{suffix.upper()}", "in/z.txt")
    assert set(stems("in").values()) == {"x", "y"}


def test_the_working_folder(tree):
    tree("a.jpg", "deep/b.jpg")
    assert stems(".") == {"a.jpg": "a", "deep/b.jpg": "deep/b"}


def test_sub_folders_keep_equal_names_apart(tree):
    tree("in/a/x.jpg", "in/b/x.jpg")
    assert stems("in") == {"in/a/x.jpg": "a/x", "in/b/x.jpg": "b/x"}
    assert stems("in/a/x.jpg", "in/b/x.jpg") == {"in/a/x.jpg": "a/x", "in/b/x.jpg": "b/x"}
    assert stems("in/a", "in/b") == {"in/a/x.jpg": "a/x", "in/b/x.jpg": "b/x"}


def test_folders_of_the_same_name_stay_apart(tree):
    tree("one/in/x.jpg", "two/in/x.jpg")
    assert set(stems("one/in", "two/in").values()) == {"one/in/x", "two/in/x"}


def test_equal_stems_keep_their_suffix(tree):
    tree("in/x.jpg", "in/x.png", "in/y.jpg")
    assert stems("in") == {"in/x.jpg": "x.jpg", "in/x.png": "x.png", "in/y.jpg": "y"}
    tree("other/x.png")
    assert stems("in/y.jpg", "other/x.png") == {"in/y.jpg": "in/y", "other/x.png": "other/x"}


def test_no_two_images_share_a_place(tree):
    tree("in/x.jpg", "in/x.png", "in/x.jpg.png", "in/X.webp", "in/deep/x.jpg")
    places = [place.lower() for place in stems("in").values()]
    assert len(set(places)) == 5


def test_results_of_an_earlier_run_are_left_out(tree, tmp_path):
    tree("a.jpg", "out/a.overlay.jpg", "out/deep/b.overlay.jpg")

    def found(*texts: str) -> list[str]:
        sources, errors = find_images(texts, exclude=Path("out"))
        assert not errors
        return [source.path.relative_to(tmp_path).as_posix() for source in sources]

    assert found(".") == found("**/*.jpg") == found("a.jpg") == ["a.jpg"]
    # unless they are asked for
    assert found("out") == ["out/a.overlay.jpg", "out/deep/b.overlay.jpg"]
    assert found("out/a.overlay.jpg") == ["out/a.overlay.jpg"]
    assert found("out/*.jpg") == ["out/a.overlay.jpg"]
    (tmp_path / "a.jpg").unlink()
    sources, (error,) = find_images(["."], exclude=Path("out"))
    assert not sources
    assert "holds only results" in str(error)


def test_dots_within_a_name_stay(tree):
    tree("in/street.v2.jpg", "in/street.v3.jpg")
    assert set(stems("in").values()) == {"street.v2", "street.v3"}


def test_every_image_once(tree):
    root = tree("in/x.jpg", "in/y.jpg")
    expected = {"in/x.jpg": "in/x", "in/y.jpg": "in/y"}
    assert stems("in/x.jpg", "in/x.jpg", root / "in/x.jpg", "in/../in/x.jpg") == {"in/x.jpg": "x"}
    assert list(stems("in/y.jpg", "in")) == ["in/y.jpg", "in/x.jpg"]
    assert stems("in", "in/*.jpg", "in/x.jpg") == expected


def test_patterns(tree):
    tree("in/a1.jpg", "in/a2.png", "in/b1.jpg", "in/a.txt", "in/deep/a3.jpg", "in/a9.jpg/inner.jpg")
    assert stems("in/a*") == {"in/a1.jpg": "a1", "in/a2.png": "a2"}
    assert stems("in/?1.jpg") == {"in/a1.jpg": "a1", "in/b1.jpg": "b1"}
    assert stems("in/[b]1.*") == {"in/b1.jpg": "b1"}
    assert stems("in/**/a?.jpg") == {"in/a1.jpg": "a1", "in/deep/a3.jpg": "deep/a3"}
    assert stems("i*/deep/*.jpg") == {"in/deep/a3.jpg": "in/deep/a3"}
    assert stems(Path.cwd() / "in" / "*.png") == {"in/a2.png": "a2"}


def test_a_file_whose_name_looks_like_a_pattern(tree):
    tree("in/x[1].jpg", "in/x1.jpg")
    assert stems("in/x[1].jpg") == {"in/x[1].jpg": "x[1]"}


def test_links_stay_where_they_are(tree, tmp_path):
    tree("elsewhere/real.jpg", "in/x.jpg")
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "elsewhere" / "real.jpg")
    (tmp_path / "in" / "broken.jpg").symlink_to(tmp_path / "nothing.jpg")
    assert stems("in") == {"in/link.jpg": "link", "in/x.jpg": "x"}


def test_texts_that_mean_no_image_are_refused(tree):
    tree("empty/notes.txt", "in/x.jpg")
    assert refusal("empty").startswith("empty: no image in this folder (looked for .jpg")
    assert refusal("in/*.png") == "in/*.png: no image matches this pattern"
    assert refusal("empty/*") == "empty/*: no image matches this pattern"
    assert find_images([]) == ([], [])


def test_the_other_images_are_found_after_an_error(tree):
    tree("empty/notes.txt", "in/x.jpg")
    sources, errors = find_images(["empty", "in/*.png", "in/x.jpg"])
    assert [source.path.name for source in sources] == ["x.jpg"]
    assert [str(error).partition(":")[0] for error in errors] == ["empty", "in/*.png"]


def test_results_stay_below_the_output_folder(tree):
    tree("a/x.jpg", "b/c/y.jpg")
    sources, _ = find_images(["a/../a/x.jpg", "b/c", "./b/c/../c/y.jpg"])
    for source in sources:
        assert not source.stem.is_absolute()
        assert ".." not in source.stem.parts
