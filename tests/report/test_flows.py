"""The diagram of confused words: counts as in the records, bars that do not touch, ribbons that fill them."""

import random
import re
from collections import Counter
from itertools import pairwise, permutations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from speechkit.report import write_report
from speechkit.report.crossings import order_columns, split_parts, weigh_crossings
from speechkit.report.flows import (
    LEFT,
    MAX_PAIRS,
    RARE,
    RIGHT,
    SLOT,
    TOP,
    cut_name,
    draw_flow,
    list_pairs,
    trace_ribbon,
)

MANY = {pair: 1 + number % 17 for number, pair in enumerate(product("abcdefgh", "cdefghij"))}
PAIRS = st.dictionaries(st.tuples(*[st.sampled_from("abcdefghijkl")] * 2), st.integers(1, 900), min_size=1)


@example(MANY, 4500)
@settings(max_examples=40)
@given(PAIRS, st.integers(1, 300_000))
def test_what_is_drawn_and_what_is_told_is_all(pairs: dict, n_utterances: int) -> None:
    flow = draw_flow(pairs, n_utterances)
    rare = {pair: count for pair, count in pairs.items() if RARE * count < n_utterances}
    assert flow.rare == (len(rare), sum(rare.values()))
    assert len(flow.ribbons) == min(MAX_PAIRS, len(pairs) - len(rare))
    assert flow.n_drawn == sum(ribbon.count for ribbon in flow.ribbons)
    assert flow.n_errors == flow.n_drawn + flow.rare[1] + flow.more[1] == sum(pairs.values())
    assert len(pairs) == len(flow.ribbons) + flow.rare[0] + flow.more[0]
    counts = Counter(ribbon.text for ribbon in flow.ribbons)
    rows = list_pairs(pairs, flow, 0)
    assert counts == Counter(f"“{said}” taken for “{heard}”: {n:,} times" for said, heard, n in rows)
    left_out = sorted(pairs.values(), reverse=True)[len(rows) :]
    assert all(count <= min(row[2] for row in rows) for count in left_out if rows)


@example(MANY)
@settings(max_examples=40)
@given(PAIRS)
def test_ribbons_fill_their_bars_and_bars_do_not_touch(pairs: dict) -> None:
    flow = draw_flow(pairs, 1)
    for side, bars in enumerate((flow.said, flow.heard)):
        ends = sorted((ribbon.y[side], ribbon.y[side] + ribbon.width) for ribbon in flow.ribbons)
        for bar in bars:
            mine = [
                ribbon for ribbon in flow.ribbons if bar.y - 1e-6 < ribbon.y[side] < bar.y + bar.height - 1e-6
            ]
            far = [ribbon.y[1 - side] for ribbon in sorted(mine, key=lambda ribbon: ribbon.y[side])]
            assert far == sorted(far), "ribbons of a bar do not cross"
            own = [end for end in ends if bar.y - 1e-6 < sum(end) / 2 < bar.y + bar.height + 1e-6]
            assert (own[0][0], own[-1][1]) == pytest.approx((bar.y, bar.y + bar.height))
            assert all(upper[1] == pytest.approx(lower[0]) for upper, lower in pairwise(own))
            assert sum(high - low for low, high in own) == pytest.approx(bar.height)
        for upper, lower in pairwise(bars):
            assert upper.y + upper.height < lower.y
            assert lower.y + lower.height / 2 - upper.y - upper.height / 2 >= SLOT - 1e-6, "room for names"
        assert bars[0].y >= TOP
        assert bars[-1].y + bars[-1].height <= flow.height
        assert sum(bar.count for bar in bars) == flow.n_drawn
    shares = {round(ribbon.width / ribbon.count, 9) for ribbon in flow.ribbons}
    assert len(shares) == 1, "one scale for all"


@given(st.floats(0, 500), st.floats(0, 500), st.floats(0.1, 50))
def test_a_ribbon_is_as_wide_everywhere(start: float, end: float, width: float) -> None:
    numbers = [float(number) for number in re.findall(r"[\d.]+", trace_ribbon(start, end, width))]
    upper = [(numbers[0], numbers[1]), *zip(numbers[2:8:2], numbers[3:8:2], strict=True)]
    back = [(numbers[7 - 1], numbers[8]), *zip(numbers[9:15:2], numbers[10:15:2], strict=True)]
    lower = back[::-1]
    assert (upper[0][0], upper[3][0], lower[0][0], lower[3][0]) == (LEFT, RIGHT, LEFT, RIGHT)
    for t in (0.0, 0.2, 0.5, 0.9, 1.0):
        weights = [(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3]
        points = [
            [sum(w * p[axis] for w, p in zip(weights, curve, strict=True)) for axis in (0, 1)]
            for curve in (upper, lower)
        ]
        assert points[0][0] == pytest.approx(points[1][0])
        assert points[1][1] - points[0][1] == pytest.approx(width, abs=0.02)


def meet(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two straight lines between the columns meet within: by where they are at each end."""
    at = [first[end] - second[end] for end in (0, 1)]
    return any(at[0] + t / 50 * (at[1] - at[0]) == 0 for t in range(1, 50)) or at[0] * at[1] < 0


def make_links(chance: random.Random, n: int, n_nodes: int) -> dict[tuple[str, str], int]:
    nodes = "abcdefghij"[:n_nodes]
    return {(chance.choice(nodes), chance.choice(nodes)): chance.randint(1, 9) for _ in range(n)}


def test_crossings_are_where_straight_lines_meet() -> None:
    chance = random.Random(0)
    for _ in range(30):
        links = make_links(chance, 7, 5)
        columns = tuple(chance.sample(sorted({pair[side] for pair in links}), k=len({p[side] for p in links}))
                        for side in (0, 1))  # fmt: skip
        places = {pair: (columns[0].index(pair[0]), columns[1].index(pair[1])) for pair in links}
        expected = sum(
            links[a] * links[b] for a, b in product(links, links) if a < b and meet(places[a], places[b])
        )
        assert weigh_crossings(links, columns) == expected


def test_the_order_is_nearly_the_best() -> None:
    """Against all orders of small graphs; in sum, since each is a search's result."""
    chance, found, best, at_first = random.Random(1), 0, 0, 0
    for _ in range(12):
        links = make_links(chance, 8, 4)
        columns = order_columns(links)
        assert [sorted(column) for column in columns] == [sorted({p[side] for p in links}) for side in (0, 1)]
        orders = product(*(permutations(sorted(column)) for column in columns))
        costs = [weigh_crossings(links, each) for each in orders]
        found, best, at_first = (
            found + weigh_crossings(links, columns),
            best + min(costs),
            at_first + costs[0],
        )
        assert min(costs) <= weigh_crossings(links, columns) <= max(costs)
    assert 0 < best <= found <= 1.1 * best
    assert found < 0.5 * at_first


@settings(max_examples=30)
@given(PAIRS)
def test_parts_that_no_link_joins_do_not_cross(pairs: dict) -> None:
    columns, parts = order_columns(pairs), split_parts(pairs)
    assert {pair: n for part in parts for pair, n in part.items()} == pairs
    assert [sum(part.values()) for part in parts] == sorted(
        (sum(part.values()) for part in parts), reverse=True
    )
    for first, second in product(parts, parts):
        if first is not second:
            assert not {a for a, _ in first} & {a for a, _ in second}
            assert not {b for _, b in first} & {b for _, b in second}
    within = sum(weigh_crossings(part, columns) for part in parts)
    assert weigh_crossings(pairs, columns) == within


def test_long_names_are_cut_to_their_width() -> None:
    assert cut_name("a" * 12) == "a" * 12
    assert cut_name("a" * 13) == "a" * 11 + "…"
    assert cut_name("語" * 7) == "語" * 5 + "…", "a wide sign takes two columns"


def read_rows(page: str, caption: str) -> list[tuple[str, str, int]]:
    table = page.split(f"<caption>{caption}</caption>")[1].split("</table>")[0]
    rows = re.findall(
        r'<tr><td class="word">(.*?)</td><td class="word">(.*?)</td><td class="num">(.*?)<', table
    )
    return [(said, heard, int(count.replace(",", ""))) for said, heard, count in rows]


def read_ribbons(page: str) -> set[tuple[str, str, int]]:
    found = re.findall(r'class="ribbon".*?<title>“(.*?)” taken for “(.*?)”: ([\d,]+) times', page)
    return {(said, heard, int(count.replace(",", ""))) for said, heard, count in found}


def test_the_page_of_a_classifier_draws_its_records(run_folder: Path, fake: Any) -> None:
    page = write_report(run_folder).read_text()
    wrong = Counter(
        (record["reference"], record["hypothesis"])
        for record in fake.make_records()
        if not record["skipped"] and record["reference"] != record["hypothesis"]
    )
    ribbons = read_ribbons(page)
    assert ribbons == {(*pair, count) for pair, count in wrong.items()}
    assert set(read_rows(page, "Most often confused")) >= ribbons, "the table is the diagram's twin"
    assert "Not drawn:" not in page


def test_rare_pairs_are_told_not_drawn(tmp_path: Path, fake: Any) -> None:
    chance, records = random.Random(0), fake.make_records(n=2000, n_skipped=0)
    for record in chance.sample(records, 30):
        record["reference"], record["hypothesis"] = "go", "no"
    records[0]["reference"], records[0]["hypothesis"] = "stop", "<b>rare</b>"
    page = write_report(fake.write_run(tmp_path / "run", predictions={"test": records})).read_text()
    wrong = Counter((r["reference"], r["hypothesis"]) for r in records if r["reference"] != r["hypothesis"])
    drawn = read_ribbons(page)
    assert ("go", "no") in {(said, heard) for said, heard, _ in drawn}
    assert drawn <= {(*pair, count) for pair, count in wrong.items() if count >= 2}
    n_rare = sum(count < 2 for count in wrong.values())
    text = re.sub(r"\s+", " ", page)
    assert f"{n_rare} pairs rarer than a thousandth of the 2,000 utterances" in text
    assert "each under 2 times" in text
    assert "<b>rare" not in page


def test_nothing_is_drawn_where_all_pairs_are_rare() -> None:
    flow = draw_flow({("a", "b"): 3, ("b", "a"): 1}, 100_000)
    assert (flow.ribbons, flow.rare, flow.least) == ([], (2, 4), 100)
    assert draw_flow({}, 10) is None
    assert list_pairs({("a", "b"): 3}, flow) == [("a", "b", 3)]
