import io
from xml.etree import ElementTree

from matplotlib import rc_context
from PIL import Image

from dau_lightning.report.figure import CAPTIONS, pictures
from dau_lightning.report.figure.dynamics import draw
from dau_lightning.report.figure.style import PARTS, STYLE, saved


def test_every_picture_is_a_png_and_an_svg_with_something_in_it(outputs):
    found = {picture.name: picture for picture in pictures(outputs)}
    assert list(found) == list(CAPTIONS)
    for name, picture in found.items():
        assert set(picture.files) == {f"{name}.png", f"{name}.svg"}
        image = Image.open(io.BytesIO(picture.files[f"{name}.png"])).convert("RGB")
        assert len(image.getcolors(image.width * image.height)) > 50
        assert ElementTree.fromstring(picture.files[f"{name}.svg"]).tag.endswith("svg")


def test_the_same_outputs_is_the_same_files(outputs):
    with rc_context(STYLE):
        first, second = (saved("dynamics", draw(outputs)) for _ in range(2))
    assert first == second


def test_what_there_is_not_is_left_out(alone, monkeypatch):
    monkeypatch.setattr("dau_lightning.report.figure.saved", lambda name, figure: {})
    assert [picture.name for picture in pictures(alone)] == [name for name in CAPTIONS if name != "dynamics"]


def test_parts_differ_in_colour_and_line_and_lightness():
    drawn_as_lines = [PARTS[name] for name in ("forget", "retain", "test")]
    for key in ("color", "linestyle"):
        assert len({style[key] for style in drawn_as_lines}) == 3
    assert len({PARTS[name]["marker"] for name in ("forget", "retain", "val")}) == 3
