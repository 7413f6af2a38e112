import re

import pytest

from ensemble_mammo.merit.pages.displays import confusion_png
from ensemble_mammo.merit.pages.page import page
from tests.browser import chromium, opened
from tests.merit.pages.reports import report_made

LAPTOP = {"width": 1280, "height": 800}
PHONE = {"width": 375, "height": 740}


@pytest.fixture(scope="module")
def browser():
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def found():
    return report_made()


@pytest.fixture(scope="module")
def file(found, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    pictures = {level: confusion_png(n, found.task.classes, level) for level, n in found.confusion.items()}
    path.write_text(page(found, pictures), encoding="utf-8")
    return path


@pytest.fixture
def shown(browser, file):
    with opened(browser, file, viewport=LAPTOP, color_scheme="light") as one:
        yield one
        assert one.problems == []


def column(page, table, place):
    return page.eval_on_selector_all(f"#{table} tbody tr > :nth-child({place})", "all => all.map(e => e.textContent)")


def plain(text):
    return float(text.replace("−", "-"))


def ground(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_the_numbers_on_the_page_are_those_of_report_json(shown, found):
    held = found.as_json()
    assert shown.page.title() == "density: figures of merit"
    heads = shown.page.locator("#first-table-headline thead th").all_inner_texts()
    assert heads == ["level", "exams", "accuracy", "macro recall", "macro precision", "kappa, quadratic", "floor"]
    for row in shown.page.locator("#first-table-headline tbody tr").all():
        cells = row.locator("th, td").all_inner_texts()
        level = cells[0]
        figures = [held["figures"][level][name] for name in ("accuracy", "recall", "precision", "kappa")]
        assert cells[1] == str(held["counts"][level]["exams"])
        for cell, one in zip(cells[2:6], figures, strict=True):
            assert re.findall(r"[\d.]+", cell) == [f"{one[key]:.3f}" for key in ("value", "low", "high")]
        assert cells[6] == f"{held['counts'][level]['majority']:.3f}"
    counts = shown.page.locator("#first-confusion-subject .count").all_text_contents()
    assert [int(one) for one in counts] == [n for row in held["confusion"]["subject"]["counts"] for n in row]
    assert f"{held['figures']['subject']['accuracy']['value']:.2f}" in shown.page.inner_text(".answer")


def test_answer_table_matrix_and_warnings_are_seen_without_scrolling(shown):
    for place in (".answer", "#first-table-headline", "#first-confusion-subject svg", "header .notes", ".research"):
        box = shown.page.locator(place).bounding_box()
        assert box["y"] + box["height"] <= LAPTOP["height"], place
        assert box["x"] + box["width"] <= LAPTOP["width"], place


def test_a_click_on_a_heading_sorts_numbers_as_numbers_and_a_third_restores(shown):
    head = shown.page.locator("#errors-table-second-look thead th").nth(3)
    before = column(shown.page, "errors-table-second-look", 4)
    assert head.get_attribute("aria-sort") == "none"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(shown.page, "errors-table-second-look", 4) == sorted(before, key=plain)
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column(shown.page, "errors-table-second-look", 4) == sorted(before, key=plain, reverse=True)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "none"
    assert column(shown.page, "errors-table-second-look", 4) == before


def test_sorting_is_stable_and_goes_by_value_with_the_undefined_last(shown):
    views = shown.page.locator("#errors-table-second-look thead button").nth(2)
    rows = list(
        zip(
            column(shown.page, "errors-table-second-look", 3),
            column(shown.page, "errors-table-second-look", 1),
            strict=True,
        )
    )
    views.click()
    after = list(
        zip(
            column(shown.page, "errors-table-second-look", 3),
            column(shown.page, "errors-table-second-look", 1),
            strict=True,
        )
    )
    assert after == sorted(rows, key=lambda row: int(row[0]))
    figures = shown.page.locator("#two-classes-table-thresholds thead button").nth(2)
    for expected in (["0.5", "Youden"], ["Youden", "0.5"]):
        figures.click()
        assert column(shown.page, "two-classes-table-thresholds", 1) == [*expected, "recall 0.9, of validation"]


def test_a_long_table_is_cut_until_asked_for(shown):
    rows = shown.page.locator("#errors-table-second-look tbody tr")
    visible = "all => all.filter(row => row.offsetParent !== null).length"
    assert rows.evaluate_all(visible) == 12
    shown.page.get_by_role("button", name="Show all 60 rows").click()
    assert rows.evaluate_all(visible) == 60
    shown.page.get_by_role("button", name="Show fewer").click()
    assert rows.evaluate_all(visible) == 12


def test_the_value_pointed_at_is_shown(shown):
    tip = shown.page.locator("#tip")
    assert not tip.is_visible()
    shown.page.locator("#first-confusion-subject .hit").first.hover()
    assert re.fullmatch(r"true A, predicted A\n\d+ of \d+ \(\d+%\)", tip.inner_text())
    roc = shown.page.locator("#two-classes-roc svg.chart")
    roc.scroll_into_view_if_needed()
    box = roc.bounding_box()
    shown.page.mouse.move(box["x"] + 0.55 * box["width"], box["y"] + 0.2 * box["height"])
    assert "sensitivity: 0." in tip.inner_text()
    shown.page.mouse.move(2, 2)
    assert not tip.is_visible()


def test_values_can_be_read_with_the_keyboard(shown):
    shown.page.locator("#subgroups-devices svg.chart").focus()
    shown.page.keyboard.press("ArrowRight")
    first = shown.page.inner_text("#tip").split(",")[0]
    shown.page.keyboard.press("ArrowRight")
    # where the keyboard was used before, focus has shown the first bar already
    assert {first, shown.page.inner_text("#tip").split(",")[0]} == {"Hologic", "GE"}
    shown.page.keyboard.press("Escape")
    assert not shown.page.locator("#tip").is_visible()


def test_dark_follows_the_system_and_the_button_overrules_it(shown):
    light = ground(shown.page)
    shown.page.emulate_media(color_scheme="dark")
    dark = ground(shown.page)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(17, 23, 29)")
    shown.page.get_by_role("button", name="Light").click()
    assert ground(shown.page) == light
    shown.page.get_by_role("button", name="Dark").click()
    assert ground(shown.page) == dark


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(browser, file, scheme):
    contrast = """([words, ground]) => {
      const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
      const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(part);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const [a, b] = [light(words), light(ground)].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05); }"""
    with opened(browser, file, viewport=LAPTOP, color_scheme=scheme) as one:
        under = ground(one.page)
        for place, how in (("body", "color"), (".below", "color"), ("a", "color"), ("#two-classes-roc .tick", "fill")):
            colour = one.page.eval_on_selector(place, f"e => getComputedStyle(e).{how}")
            assert one.page.evaluate(contrast, [colour, under]) >= 4.5, place
        for place in range(3):
            colour = one.page.eval_on_selector(f"svg .c{place}, .key.c{place}", "e => getComputedStyle(e).color")
            assert one.page.evaluate(contrast, [colour, under]) >= 3, place


def test_nothing_but_tables_scrolls_sideways_on_a_phone(browser, file):
    with opened(browser, file, viewport=PHONE, has_touch=True) as one:
        assert one.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        wide = one.page.locator("#first-table-headline").evaluate(
            "e => [e.parentElement.scrollWidth, e.parentElement.clientWidth]"
        )
        assert wide[0] > wide[1]
        assert one.problems == []


def test_it_prints_light_unfolded_and_without_buttons(shown):
    shown.page.emulate_media(media="print", color_scheme="dark")
    assert ground(shown.page) == "rgb(255, 255, 255)"
    assert not shown.page.locator("#theme").is_visible()
    visible = "all => all.filter(row => row.offsetParent !== null).length"
    assert shown.page.locator("#errors-table-second-look tbody tr").evaluate_all(visible) == 40
    assert shown.page.locator("#errors .printed-more").is_visible()
    shown.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert shown.page.locator("details:not([open])").count() == 0
    shown.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert shown.page.locator("details[open]").count() == 0
    paper = shown.page.pdf(format="A4")
    assert paper.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 20


def test_without_a_script_all_rows_and_values_are_there(browser, file):
    with opened(browser, file, viewport=LAPTOP, java_script_enabled=False) as one:
        assert one.page.locator("#errors-table-second-look tbody tr").last.is_visible()
        assert not one.page.locator("#theme").is_visible()
        assert one.page.locator("#two-classes-roc title").count() > 40
