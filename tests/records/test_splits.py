from collections import Counter

import pytest

from ensemble_mammo.records.splits import deal

LABELS = {f"s{i:03d}": "AABBBBCCCD"[i % 10] for i in range(200)}
SHARES = (0.8, 0.1, 0.1)


def test_every_part_has_its_share_of_subjects_and_of_every_class():
    parts = deal(LABELS, SHARES, 0)
    assert Counter(parts.values()) == {0: 160, 1: 20, 2: 20}
    for label, count in Counter(LABELS.values()).items():
        own = Counter(part for subject, part in parts.items() if LABELS[subject] == label)
        assert all(abs(own[part] - share * count) <= 1 for part, share in enumerate(SHARES)), label


def test_the_order_of_the_subjects_does_not_matter():
    assert deal(dict(reversed(LABELS.items())), SHARES, 3) == deal(LABELS, SHARES, 3)


def test_the_same_seed_gives_the_same_parts_and_another_seed_others():
    assert deal(LABELS, SHARES, 1) == deal(LABELS, SHARES, 1)
    assert deal(LABELS, SHARES, 1) != deal(LABELS, SHARES, 2)


def test_folds_differ_by_one_subject_at_most():
    sizes = Counter(deal(dict.fromkeys(map(str, range(71)), "A"), [0.2] * 5, 0).values())
    assert sorted(sizes.values()) == [14, 14, 14, 14, 15]


def test_a_share_of_zero_gets_nobody():
    assert set(deal(LABELS, (1.0, 0.0, 0.0), 0).values()) == {0}


def test_nobody_is_dealt_to_no_part():
    assert deal({}, SHARES, 0) == {}


@pytest.mark.parametrize("shares", [(0.8, 0.1), (1.2, -0.2), (float("nan"), 1.0)])
def test_shares_that_are_none_are_refused(shares):
    with pytest.raises(ValueError, match="do not add up to 1"):
        deal(LABELS, shares, 0)
