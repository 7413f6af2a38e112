import numpy as np
import pytest

from ensemble_mammo.merit.froc import ALL_BOXES, RATES, Curve, Held, Marked, best_boxes
from ensemble_mammo.merit.froc_chance import chance, chance_of_best
from ensemble_mammo.merit.hitting import Boxes, HitRule, hits_of, widened


def image(subject, scores, on=(), lesions=0, share=0.01, **fields):
    """An image of `lesions` lesions; `on` says for each box the lesion that it hits, None for none."""
    hits = np.zeros((len(scores), lesions), bool)
    for box, lesion in enumerate(on):
        if lesion is not None:
            hits[box, lesion] = True
    shares = np.full(lesions, share)
    return Marked(subject, np.array(scores, float), hits, shares, share * lesions, lesion_free=not lesions, **fields)


HAND = Held(
    [
        image("a", [0.9, 0.8, 0.7, 0.2], [0, None, 0, 1], 2),  # lesions at 0.9 and 0.2, one false positive at 0.8
        image("a", [0.6], [0], 1),
        image("b", [0.85, 0.6], [None, None], 1),  # missed
        image("c", [0.5], [None]),
    ]
)


def plain(images, rate, unit="lesion", lesion_free=False):
    """The same by trying every threshold on every box."""
    counted = [one for one in images if one.alarms and (one.lesion_free or not lesion_free)]
    thresholds = [*sorted({score for one in images for score in one.scores.tolist()}), 2.0]
    found = []
    for threshold in thresholds:
        false = sum(
            score >= threshold and not any(hit)
            for one in counted
            for score, hit in zip(one.scores, one.hits.tolist(), strict=True)
        )
        if false <= rate * len(counted):
            lists: dict[tuple, list[bool]] = {}
            for number, one in enumerate(images):
                for lesion in range(one.hits.shape[1]):
                    own = [s for s, hit in zip(one.scores, one.hits[:, lesion], strict=True) if hit]
                    key = {"lesion": (number, lesion), "image": (number,), "subject": (one.subject,)}[unit]
                    lists.setdefault(key, []).append(bool(own) and max(own) >= threshold)
            found.append(np.mean([any(own) for own in lists.values()]))
    return max(found)


def at_random(seed, images=40, subjects=12, ties=True):
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(images):
        lesions, boxes = int(rng.integers(0, 3)), int(rng.integers(0, 7))
        scores = rng.integers(0, 9, boxes) / 10 if ties else rng.random(boxes)
        hits = rng.random((boxes, lesions)) < 0.3
        name = f"s{rng.integers(subjects)}"
        made.append(
            Marked(name, scores, hits, rng.random(lesions) / 20, 0.02 * lesions, bool(rng.random() < 0.8), not lesions)
        )
    return made


def test_a_curve_by_hand():
    rates = (0, 0.25, 0.5, 0.75, 1, 8)
    np.testing.assert_allclose(Curve(HAND).sensitivity(rates), [0.25, 0.25, 0.25, 0.5, 0.75, 0.75])
    np.testing.assert_allclose(Curve(HAND, "image").sensitivity(rates), np.array([1, 1, 1, 2, 2, 2]) / 3)
    np.testing.assert_allclose(Curve(HAND, "subject").sensitivity(rates), [0.5] * 6)
    np.testing.assert_allclose(Curve(HAND, lesion_free=True).sensitivity((0, 1)), [0.5, 0.75])
    assert Curve(HAND).thresholds((0, 0.75, 1)) == [0.9, 0.6, 0.2]


def test_a_false_positive_that_scores_as_a_lesion_is_called_with_it():
    held = Held([image("a", [0.6], [0], 1), image("b", [0.6], [None])])
    np.testing.assert_allclose(Curve(held).sensitivity((0.4, 0.5)), [0, 1])


@pytest.mark.parametrize("unit", ["lesion", "image", "subject"])
@pytest.mark.parametrize("ties", [True, False])
def test_random_images_agree_with_trying_every_threshold(unit, ties):
    for seed in range(6):
        images = at_random(seed, ties=ties)
        for lesion_free in (False, True):
            expected = [plain(images, rate, unit, lesion_free) for rate in RATES]
            found = Curve(Held(images), unit, lesion_free).sensitivity(RATES)
            np.testing.assert_allclose(found, expected, atol=1e-12)


def test_drawing_a_subject_twice_is_having_her_images_twice():
    images = at_random(3)
    held = Held(images)
    times = np.random.default_rng(0).integers(0, 4, (5, len(held.subjects))).astype(float)
    for unit in ("lesion", "image"):
        found = Curve(held, unit).sensitivity(RATES, times)
        for row, drawn in zip(found, times, strict=True):
            many = dict(zip(held.subjects, drawn.astype(int), strict=True))
            repeated = [one for one in images for _ in range(many[one.subject])]
            np.testing.assert_allclose(row, [plain(repeated, rate, unit) for rate in RATES], atol=1e-12)


def test_limits_are_those_of_a_plain_bootstrap():
    images = at_random(8, images=60, subjects=20, ties=False)
    (at_one,), _ = Curve(Held(images)).with_limits((1.0,), 4000, 1)
    own = {}
    for one in images:
        own.setdefault(one.subject, []).append(one)
    rng, drawn = np.random.default_rng(5), []
    for _ in range(300):
        taken = [one for name in rng.choice(sorted(own), len(own)) for one in own[name]]
        drawn.append(plain(taken, 1.0))
    np.testing.assert_allclose((at_one.low, at_one.high), np.percentile(drawn, [2.5, 97.5]), atol=0.06)
    assert at_one.low < at_one.value < at_one.high


def test_groups_keep_the_rates_of_all_images_and_make_up_the_whole():
    held = Held(at_random(4))
    count = len(held.units["lesion"].scores)
    chosen = np.arange(count) % 3 == 0
    parts = [Curve(held, within=one).sensitivity(RATES) * one.sum() for one in (chosen, ~chosen)]
    np.testing.assert_allclose((parts[0] + parts[1]) / count, Curve(held).sensitivity(RATES))
    hit = np.isfinite(held.units["lesion"].scores)
    assert Curve(held).sensitivity([ALL_BOXES])[0] == pytest.approx(hit.mean())


def test_the_best_boxes_by_hand():
    one, two = best_boxes(HAND, (1, 2), 0)
    assert (one["lesion"].value, one["image"].value, one["alarms"].value) == pytest.approx((2 / 4, 2 / 3, 2 / 4))
    assert (two["lesion"].value, two["image"].value, two["alarms"].value) == pytest.approx((2 / 4, 2 / 3, 4 / 4))
    limits = best_boxes(HAND, (1,), 500, 0)[0]
    assert limits["alarms"].low <= limits["alarms"].value <= limits["alarms"].high


def test_of_boxes_that_score_alike_the_first_given_is_the_best():
    tied = Held([image("a", [0.5, 0.5], [None, 0], 1)])
    assert best_boxes(tied, (1,), 0)[0]["lesion"].value == 0
    assert best_boxes(tied, (2,), 0)[0]["lesion"].value == 1


def test_images_whose_false_positives_are_not_counted_keep_their_lesions():
    held = Held([image("a", [0.9, 0.5], [None, 0], 1, alarms=False), image("b", [0.4], [None])])
    np.testing.assert_allclose(Curve(held).sensitivity((0, 1)), [1, 1])
    assert best_boxes(held, (1,), 0)[0]["alarms"].value == 1


def test_images_without_boxes_find_nothing():
    held = Held([image("a", [], [], 2), image("b", [])])
    each, mean = Curve(held).with_limits(RATES, 100, 0)
    assert all(one.value == 0 for one in each) and mean.value == 0
    assert each[0].low == 0 and 0 < each[0].high < 1  # exact limits: resampling cannot vary them
    assert best_boxes(held, (1,), 0)[0]["alarms"].value == 0


def test_without_lesions_or_counted_images_all_is_undefined():
    none = Held([image("a", [0.5], [None]), image("b", [0.4], [None])])
    uncounted = Held([image("a", [0.5], [0], 1, alarms=False)])
    for held in (none, uncounted, Held([])):
        each, mean = Curve(held).with_limits(RATES, 100, 0)
        assert all(np.isnan(one.value) and np.isnan(one.low) for one in (*each, mean))
        assert np.isnan(chance(held)).all() or held is none
    assert np.isnan(best_boxes(none, (1,), 100)[0]["lesion"].value)
    assert np.isnan(chance(none)).all() and np.isnan(chance_of_best(none)[0])


def test_chance_is_what_points_thrown_over_the_breasts_come_to():
    rng = np.random.default_rng(0)
    lesions = [(20, 30), (60, 10), (5, 5), (40, 40)]  # squares within breasts of 100 x 100, the third image has none
    masks = []
    for number, (side, at) in enumerate(lesions):
        mask = np.zeros((100, 100), bool)
        mask[at : at + side, at : at + side] = number != 2
        masks.append(mask)
    made, mean_points = [], 3.0
    for turn in range(4000):
        mask = masks[turn % 4]
        row, column = rng.integers(0, 100, (2, rng.poisson(mean_points)))
        made.append((mask[row, column].any(), (~mask[row, column]).sum(), mask.any()))
    hit = np.mean([one[0] for one in made if one[2]])
    rate = np.mean([one[1] for one in made])
    held = Held(
        [
            Marked(str(i), np.empty(0), np.zeros((0, int(m.any())), bool), m.mean()[None][: int(m.any())], m.mean())
            for i, m in enumerate(masks)
        ]
    )
    assert chance(held, [rate])[0] == pytest.approx(hit, abs=0.02)
    assert chance_of_best(held, (2,))[0] == pytest.approx(np.mean([1 - (1 - m.mean()) ** 2 for m in masks if m.any()]))


def test_marks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"hits \(2, 1\) for 1 boxes"):
        Marked("a", np.ones(1), np.zeros((2, 1), bool), np.ones(1))


def boxes(*rows):
    """(row, column, half of the side) each."""
    table = np.array(rows, float)
    sides = table[:, 2:] * 2
    return Boxes(
        np.ones(len(table)), table[:, :2], np.hstack([table[:, :2] - table[:, 2:], np.repeat(sides, 2, axis=1)])
    )


def test_a_box_hits_by_its_centre_and_nothing_outside_the_image():
    mask = np.zeros((50, 40), bool)
    mask[10:20, 5:15] = True
    corner = np.zeros((50, 40), bool)
    corner[:5, :5] = True
    given = boxes((10, 5, 4), (19.4, 14.4, 4), (19.6, 10, 4), (-1, 3, 4), (0, 0, 4), (60, 10, 4), (-0.4, 0, 4))
    found = hits_of(given, [mask, corner], HitRule())
    assert found[:, 0].tolist() == [True, True, False, False, False, False, False]
    assert found[:, 1].tolist() == [False, False, False, False, True, False, True]
    assert hits_of(given, [], HitRule()).shape == (7, 0)


def test_with_a_tolerance_the_centre_may_lie_beside_the_lesion():
    mask = np.zeros((50, 40), bool)
    mask[10:20, 5:15] = True
    given = boxes((22, 10, 1), (23, 10, 1), (22, 17, 1))  # 3, 4 and sqrt(18) beside
    assert hits_of(given, [mask], HitRule(tolerance_px=3)).ravel().tolist() == [True, False, False]
    assert hits_of(given, [mask], HitRule(tolerance_px=4.3)).ravel().tolist() == [True, True, True]
    rows, columns = np.indices(mask.shape)
    near = np.hypot(
        np.clip(np.maximum(10 - rows, rows - 19), 0, None), np.clip(np.maximum(5 - columns, columns - 14), 0, None)
    )
    np.testing.assert_array_equal(widened(mask, 4.3), near <= 4.3)


def test_by_overlap_the_intersection_over_union_with_the_bounding_box_decides():
    mask = np.zeros((50, 40), bool)
    mask[10:20, 10] = mask[10, 10:20] = True  # bounding box 10 x 10
    given = boxes((15, 15, 5), (20, 15, 5), (15, 15, 10), (40, 30, 5))
    whole = np.zeros((4, 60, 60), bool)
    for place, (top, left, height, width) in enumerate(given.rectangles.astype(int)):
        whole[place, top : top + height, left : left + width] = True
    box = np.zeros((60, 60), bool)
    box[10:20, 10:20] = True
    expected = [(one & box).sum() / (one | box).sum() for one in whole]
    for limit in (0.2, 0.3, 0.34, 1.0):
        found = hits_of(given, [mask], HitRule(iou=limit)).ravel()
        assert found.tolist() == [value >= limit for value in expected]


@pytest.mark.parametrize(("fields", "match"), [({"iou": 1.5}, "iou 1.5"), ({"tolerance_px": -1}, "tolerance_px -1")])
def test_rules_out_of_range_are_refused(fields, match):
    with pytest.raises(ValueError, match=match):
        HitRule(**fields)


def test_a_rule_says_itself():
    assert str(HitRule()) == "its centre lies in the lesion's mask"
    assert "within 5 pixels" in str(HitRule(tolerance_px=5)) and "is 0.2 or more" in str(HitRule(iou=0.2))
