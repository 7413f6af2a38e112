import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ensemble_mammo.imaging.phantom import phantom_exam
from ensemble_mammo.merit.pages.reader_page import ReaderBox, ReaderExam, ReaderView, reader_page
from ensemble_mammo.records.subject import View
from ensemble_mammo.records.task import task_named
from tests.merit.pages.test_reader_page import file_of

pytestmark = pytest.mark.slow
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
BOXES = (ReaderBox(150, 200, 190, 260, 0.8, "malignant"), ReaderBox(60, 100, 80, 120, 0.2, "malignant"),
         ReaderBox(150, 205, 185, 255, math.nan, "truth"))  # fmt: skip
PIXELS = """([view, x, y, width, height]) => { const canvas = document.querySelector(`[data-view=${view}] canvas`);
  const copy = new OffscreenCanvas(width || canvas.width, height || canvas.height);
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(canvas, -x, -y);
  return context.getImageData(0, 0, copy.width, copy.height).data; }"""
SUM = f"""view => {{ const data = ({PIXELS})([view, 0, 0, 0, 0]); let red = 0, blue = 0;
  for (let i = 0; i < data.length; i += 4) {{ red += data[i]; blue += data[i + 2]; }} return [red, blue]; }}"""
PIXEL = f"([view, x, y]) => [...({PIXELS})([view, Math.round(x), Math.round(y), 1, 1])].slice(0, 3)"


def exam_of(turned: bool = False, boxes: tuple[ReaderBox, ...] = BOXES) -> ReaderExam:
    """A phantom without its LMLO, a map with one blob."""
    pictures = phantom_exam(1, "C", height=400)
    rows, columns = np.mgrid[:25, :20]
    blob = np.exp(-((rows - 14) ** 2 + (columns - 10) ** 2) / 10)
    views = {}
    for view in (View.CC_R, View.CC_L, View.MLO_R):
        pixels = pictures[view][:, ::-1] if turned and view == View.CC_R else pictures[view]
        scores = {"benign": 0.25, "malignant": 0.75}
        views[view] = ReaderView(view, file_of(pixels), file_of(blob), scores, "malignant", boxes)
    subject = {"benign": 0.25, "malignant": 0.75}
    return ReaderExam("PH0001", task_named("pathology"), views, {"right": subject}, subject, "grad-cam", ("A note.",))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium on this machine")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()


class Reader:
    """The page in a tab; what the tests ask of it."""

    def __init__(self, tab: Any, path: Path) -> None:
        self.tab, self.said, self.asked = tab, [], []
        tab.on("console", lambda message: self.said.append(message.text))
        tab.on("pageerror", lambda error: self.said.append(str(error)))
        tab.on("request", lambda request: self.asked.append(request.url))
        tab.goto(path.as_uri())
        tab.wait_for_selector("html[data-ready]", timeout=20_000)

    def settle(self) -> None:
        self.tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tab.keyboard.press(key)
        self.settle()

    def of(self, view: str, name: str) -> str:
        return str(self.tab.get_attribute(f"[data-view={view}]", f"data-{name}"))

    def sums(self, view: str = "CC_R") -> tuple[int, int]:
        red, blue = self.tab.evaluate(SUM, view)
        return red, blue

    def pixel(self, view: str, x: float, y: float) -> list[int]:
        """Of a point of the tile, in its pixels."""
        return list(self.tab.evaluate(PIXEL, [view, x, y]))

    def slide(self, name: str, value: float) -> None:
        self.tab.evaluate(
            "([id, value]) => { const input = document.getElementById(id); input.value = value;"
            " input.dispatchEvent(new Event('input', {bubbles: true})); }",
            [name, value],
        )
        self.settle()

    def box(self, view: str) -> dict[str, float]:
        return dict(self.tab.locator(f"[data-view={view}] canvas").bounding_box())


@pytest.fixture
def opened(chromium: Any, tmp_path: Path) -> Iterator[Any]:
    tabs = []

    def open_page(exam: ReaderExam, width: int = 1280, height: int = 800) -> Reader:
        path = tmp_path / "reader.html"
        path.write_text(reader_page(exam), encoding="utf-8")
        tab = chromium.new_page(viewport={"width": width, "height": height})
        tabs.append(Reader(tab, path))
        return tabs[-1]

    yield open_page
    for reader in tabs:
        assert reader.said == []
        assert {address.split(":")[0] for address in reader.asked} <= {"file", "data"}
        reader.tab.close()


def test_the_map_comes_and_goes_and_its_strength_is_seen(opened: Any) -> None:
    reader = opened(exam_of(boxes=()))
    red, blue = reader.sums()
    reader.press("m")
    assert reader.of("CC_R", "map") == "false"
    grey = reader.sums()
    assert grey[0] == grey[1] != red  # without a map all is grey
    assert red - blue > 10_000
    reader.press("m")
    assert reader.sums() == (red, blue)
    reader.slide("opacity", 100)
    assert reader.sums()[0] - reader.sums()[1] > 1.5 * (red - blue)
    reader.slide("opacity", 0)
    assert reader.sums() == grey


def test_the_map_lies_on_its_place_in_its_colour(opened: Any) -> None:
    reader = opened(exam_of(boxes=()))
    reader.slide("opacity", 100)
    box = reader.box("CC_R")
    width = box["height"] * 320 / 400  # the picture fills the height, and stands at the inner edge
    hot = reader.pixel("CC_R", box["width"] - width + width * 10.5 / 20, box["height"] * 14.5 / 25)
    assert np.allclose(hot, [252, 255, 164], atol=9)  # where the map is 1: inferno's last colour
    reader.tab.select_option("#colours", "viridis")
    reader.settle()
    hot = reader.pixel("CC_R", box["width"] - width + width * 10.5 / 20, box["height"] * 14.5 / 25)
    assert np.allclose(hot, [253, 231, 37], atol=9)


def test_the_window_is_one_of_greys(opened: Any) -> None:
    reader = opened(exam_of(boxes=()))
    reader.press("m")
    box = reader.box("MLO_R")
    point = (box["width"] - 40, box["height"] / 2)
    grey = reader.pixel("MLO_R", *point)[0]
    reader.slide("width", 60)
    reader.slide("level", 100)
    found = reader.pixel("MLO_R", *point)
    assert found == pytest.approx([min(255, max(0, ((grey - 100) / 60 + 0.5) * 255))] * 3, abs=9)
    reader.press("i")
    assert reader.pixel("MLO_R", *point) == [255 - found[0]] * 3
    reader.press("r")
    assert reader.of("MLO_R", "level") == "127.5" and reader.of("MLO_R", "width") == "255.0"
    reader.press("m")
    assert reader.pixel("MLO_R", *point)[0] == grey


def test_windows_by_key_and_by_the_right_button(opened: Any) -> None:
    reader = opened(exam_of())
    reader.press("2")
    assert float(reader.of("CC_R", "width")) < 250
    assert reader.tab.get_attribute("[data-preset=tissue]", "aria-pressed") == "true"
    reader.press("1")
    box = reader.box("CC_L")
    reader.tab.mouse.move(box["x"] + 100, box["y"] + 100)
    reader.tab.mouse.down(button="right")
    reader.tab.mouse.move(box["x"] + 40, box["y"] + 140)
    reader.tab.mouse.up(button="right")
    reader.settle()
    for view in ("CC_R", "CC_L", "MLO_R"):
        assert (reader.of(view, "width"), reader.of(view, "level")) == ("225.0", "147.5")
    assert reader.of("CC_R", "zoom") == "1.000"


def test_all_views_zoom_and_move_together_mirrored(opened: Any) -> None:
    reader = opened(exam_of())
    box = reader.box("CC_L")
    reader.tab.mouse.move(box["x"] + 50, box["y"] + 100)
    reader.tab.mouse.wheel(0, -240)
    reader.settle()
    looks = {tuple(reader.of(view, name) for name in ("zoom", "across", "down")) for view in ("CC_R", "CC_L", "MLO_R")}
    assert len(looks) == 1
    zoom, across, down = map(float, looks.pop())
    assert zoom == pytest.approx(math.exp(0.5), abs=1e-3)
    # the point under the mouse stays: 50 pixels from the chest wall, 100 from the top
    assert across + (50 / box["width"] - 0.5) / zoom == pytest.approx(50 / box["width"], abs=1e-3)
    assert down + (100 / box["height"] - 0.5) / zoom == pytest.approx(100 / box["height"], abs=1e-3)
    reader.press("m", "b")
    reader.tab.mouse.down()
    reader.tab.mouse.move(box["x"] + 20, box["y"] + 100)  # the left breast to the left: away from the chest wall
    reader.tab.mouse.up()
    reader.settle()
    assert float(reader.of("CC_R", "across")) == pytest.approx(across + 30 / box["width"] / zoom, abs=1e-3)
    reader.tab.dblclick("[data-view=CC_L] canvas")
    reader.settle()
    assert reader.of("MLO_R", "zoom") == "1.000"


def test_views_that_are_not_linked_move_alone(opened: Any) -> None:
    reader = opened(exam_of())
    reader.press("l")
    reader.tab.focus("[data-view=MLO_R]")
    reader.press("+", "ArrowLeft", "Shift+ArrowUp")
    assert float(reader.of("MLO_R", "zoom")) == 1.25 and reader.of("CC_R", "zoom") == "1.000"
    assert reader.of("MLO_R", "level") != reader.of("CC_R", "level")
    reader.press("l")
    assert reader.of("CC_R", "zoom") == "1.250"
    reader.press("0")
    assert reader.of("CC_R", "zoom") == "1.000"


def test_boxes_are_drawn_where_they_are_and_chosen_by_score(opened: Any) -> None:
    reader = opened(exam_of())
    reader.press("m")
    box = reader.box("CC_L")
    scale = box["height"] / 400
    side = (190 * scale, 230 * scale)  # the right side of the first box
    red, _, blue = reader.pixel("CC_L", *side)
    assert red > blue + 60
    assert reader.of("CC_L", "boxes") == "3"
    reader.slide("least", 50)
    assert reader.of("CC_L", "boxes") == "2"  # the one without score stays
    reader.slide("least", 90)
    assert reader.of("CC_L", "boxes") == "1"
    assert reader.pixel("CC_L", *side)[0] == reader.pixel("CC_L", *side)[2]
    reader.press("b")
    assert reader.of("CC_L", "boxes") == "0"


def test_pictures_stand_at_the_inner_edge_and_a_missing_view_is_said(opened: Any) -> None:
    reader = opened(exam_of(boxes=()))
    reader.press("m")
    right, left = reader.box("CC_R"), reader.box("CC_L")
    assert right["x"] < left["x"] and reader.box("MLO_R")["y"] > right["y"]
    middle = right["height"] / 2
    assert reader.pixel("CC_R", right["width"] - 15, middle)[0] > 40 < reader.pixel("CC_L", 15, middle)[0]
    assert reader.pixel("CC_R", 3, middle) == [0, 0, 0]
    absent = reader.tab.locator("[data-view=MLO_L]")
    assert absent.inner_text().split() == ["LMLO", "No", "image"]
    assert absent.locator("canvas").count() == 0


def test_a_turned_view_is_turned_over_only_when_asked(opened: Any) -> None:
    reader = opened(exam_of(turned=True, boxes=()))
    reader.press("m")
    box = reader.box("CC_R")
    point = (box["width"] - 15, box["height"] / 2)
    assert reader.pixel("CC_R", *point)[0] < 15  # as it came: background in the middle of the page
    reader.tab.click("[data-view=CC_R] .flip")
    reader.settle()
    assert reader.pixel("CC_R", *point)[0] > 40
    assert reader.of("CC_R", "flipped") == "true" and reader.of("CC_L", "flipped") == "false"
    assert reader.tab.locator("[data-view=CC_R] .flipped").is_visible()
    reader.press("t")
    assert reader.of("CC_R", "flipped") == "false"


def test_outline_magnifier_one_view_alone_and_the_list_of_keys(opened: Any) -> None:
    reader = opened(exam_of(boxes=()))
    before = reader.sums()
    reader.press("o")
    assert reader.sums() != before
    reader.press("o", "z")
    assert reader.sums() == before
    box = reader.box("CC_R")
    reader.tab.mouse.move(box["x"] + box["width"] - 120, box["y"] + 200)
    reader.settle()
    assert reader.sums() != before
    reader.press("z", "f")
    assert reader.tab.locator(".tile:visible").count() == 1
    assert reader.box("CC_R")["width"] > 1.9 * box["width"]
    reader.press("f")
    assert reader.sums() == before
    reader.press("?")
    assert reader.tab.locator("dialog").is_visible()
    reader.press("m", "Escape")
    assert reader.of("CC_R", "map") == "true"  # keys of the page rest while the list is open


def test_the_panel_and_the_pictures_fit_a_desk_and_a_phone(opened: Any) -> None:
    reader = opened(exam_of())
    assert reader.tab.evaluate("document.documentElement.scrollHeight <= innerHeight")
    assert reader.tab.locator("footer").inner_text() == "Not a medical device; for research."
    phone = opened(exam_of(), 390, 844)
    assert phone.tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert phone.box("CC_R")["width"] == pytest.approx(195, abs=2)
    assert phone.tab.locator("#panel").bounding_box()["y"] >= phone.box("MLO_R")["y"] + phone.box("MLO_R")["height"]


def test_all_controls_can_be_reached_and_named_without_a_mouse(opened: Any) -> None:
    reader = opened(exam_of())
    nameless = reader.tab.evaluate(
        "() => [...document.querySelectorAll('button, input, select')].filter(one => !(one.getAttribute('aria-label')"
        " || one.textContent.trim() || one.labels?.[0]?.textContent.trim())).map(one => one.outerHTML)"
    )
    assert nameless == []
    seen = set()
    for _ in range(40):
        reader.tab.keyboard.press("Tab")
        seen.add(reader.tab.evaluate("document.activeElement.dataset?.view ?? document.activeElement.id"))
    assert {"CC_R", "CC_L", "MLO_R", "map", "opacity", "level", "link", "reset", "help"} <= seen


def test_the_page_prints_pictures_with_their_map_and_scores(opened: Any) -> None:
    reader = opened(exam_of())
    reader.tab.emulate_media(media="print")
    assert reader.tab.locator(".views").is_visible() and reader.tab.locator(".scores").is_visible()
    assert not reader.tab.locator("#level").is_visible()
    assert reader.tab.pdf()[:4] == b"%PDF"
