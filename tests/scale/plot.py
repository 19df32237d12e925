#!/usr/bin/env python3
"""The table and the plot of docs/SCALE.md from the figures that the simulation wrote.

    tests/scale/plot.py RESULTS DOCUMENT PLOT.svg

Replaces the rows of the table. Needs nothing but Python.
"""

import json
import math
import sys
from pathlib import Path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, GAP = 860, 560, 70, 20, 34, 70
BLUE, ORANGE, GREEN, GREY = "#1f6fb4", "#d1700d", "#2b8a3e", "#808080"
HEAD = "| scenario | jobs |"
ORDER = [
    "steady", "peaks", "backlog", "troubled", "cleaner dies", "throttled", "undeletable", "rush", "old loop",
    "four shards",
]


def row(run):
    half, most, longest = (delay / 1000 for delay in run["delays"])
    table, index = run["busiest"]
    requests = run["requests"]
    cells = [
        run["name"], f"{run['jobs']:,}", f"{run['rate']:.1f}", f"{run['peak']:.0f}", f"{run['waiting']:,}",
        f"{half:.0f}", f"{most:.0f}", f"{longest:.0f}", f"{sum(run['throttled'][:2]):,}", f"{table:.0f} / {index:.0f}",
        f"{run['write_units']:.1f}", f"{requests['reads']:.0f}", f"{requests['lists']:.1f}", f"{requests['queue']:.1f}",
        f"{run['cpu_seconds']:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def ticks(top):
    step = 10 ** math.floor(math.log10(max(top, 1)))
    step = next(step * factor for factor in (0.2, 0.5, 1, 2) if top / (step * factor) <= 6)
    return [step * number for number in range(int(top / step) + 1)]


class Panel:
    """Axes with minutes from left to right, and lines in them."""

    def __init__(self, title, top, minutes, lowest, highest, logarithmic):
        self.top, self.minutes, self.logarithmic = top, minutes, logarithmic
        self.lowest, self.highest = lowest, highest
        self.height = (HEIGHT - 2 * TOP - GAP) / 2
        self.parts = [f'<text x="{LEFT}" y="{top - 12}" font-weight="bold">{title}</text>']
        marks = [10**power for power in range(round(math.log10(lowest)), round(math.log10(highest)) + 1)] if logarithmic else ticks(highest)
        for value in marks:
            y = self.y(value)
            self.parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
            self.parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,.0f}</text>')
        for minute in ticks(minutes):
            x, y = self.x(minute), top + self.height
            self.parts.append(f'<path d="M{x:.1f} {y:.1f}v4" stroke="#333"/>')
            self.parts.append(f'<text x="{x:.1f}" y="{y + 17:.1f}" text-anchor="middle">{minute:.0f}</text>')
        self.parts.append(f'<path d="M{LEFT} {top}v{self.height:.1f}H{WIDTH - RIGHT}" fill="none" stroke="#333"/>')

    def x(self, minute):
        return LEFT + (WIDTH - LEFT - RIGHT) * minute / self.minutes

    def y(self, value):
        if self.logarithmic:
            share = math.log(max(value, self.lowest) / self.lowest) / math.log(self.highest / self.lowest)
        else:
            share = value / self.highest
        return self.top + self.height * (1 - share)

    def line(self, values, colour, name, place):
        points = [f"{self.x(minute):.1f} {self.y(value):.1f}" for minute, value in enumerate(values[: int(self.minutes) + 1]) if value is not None]
        self.parts.append(f'<path d="M{"L".join(points)}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        x, y = WIDTH - RIGHT - 8, self.top + 16 + 17 * place
        self.parts.append(f'<text x="{x}" y="{y}" text-anchor="end" fill="{colour}">{name}</text>')

    def level(self, value, name):
        y = self.y(value)
        self.parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{GREY}" stroke-dasharray="4 3"/>')
        self.parts.append(f'<text x="{LEFT + 6}" y="{y - 5:.1f}" fill="{GREY}">{name}</text>')


def delays(run):
    """The longest delay of each minute in seconds; None where nothing was deleted."""
    return [minute[3] / 1000 if minute[2] else None for minute in run["minutes"]]


def plot(runs):
    peaks = runs["peaks"]
    minutes = len(peaks["minutes"])
    rate = lambda column: [minute[column] / 60 for minute in peaks["minutes"]]
    above = Panel("Jobs a second, over minutes: a peak of ten times a million a day", TOP, minutes, 0, max(rate(0)) * 1.1, False)
    above.line(rate(0), BLUE, "created", 0)
    above.line(rate(1), GREEN, "ended", 1)
    above.line(rate(2), ORANGE, "deleted by the cleanup, twice each", 2)
    lines = [
        ("old-loop", GREY, "the earlier loop, a million a day"),
        ("peaks", ORANGE, "two cleanup programs, with the peak"),
        ("cleaner-dies", BLUE, "two, of which one is killed"),
    ]
    lines = [(delays(runs[name]), colour, text) for name, colour, text in lines if name in runs]
    longest = max(value for values, *_ in lines for value in values if value)
    highest = max(100, 10 ** math.ceil(math.log10(longest)))
    below = Panel("Longest delay of a deletion in each minute, in seconds", TOP + above.height + GAP, minutes, 1, highest, True)
    below.level(30, "30 s")
    for place, (values, colour, text) in enumerate(lines):
        below.line(values, colour, text, place)
    parts = "\n".join(above.parts + below.parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n{parts}\n</svg>\n'
    )


def with_rows(document, rows):
    """The document with these rows in the table of all figures."""
    lines = document.split("\n")
    first = next(number for number, line in enumerate(lines) if line.startswith(HEAD)) + 2
    last = next(number for number in range(first, len(lines)) if not lines[number].startswith("|"))
    return "\n".join(lines[:first] + rows + lines[last:])


def main():
    directory, document, target = (Path(word) for word in sys.argv[1:])
    runs = {path.stem: json.loads(path.read_text()) for path in directory.glob("*.json")}
    rows = [row(runs[name.replace(" ", "-")]) for name in ORDER if name.replace(" ", "-") in runs]
    document.write_text(with_rows(document.read_text(), rows))
    target.write_text(plot(runs))


if __name__ == "__main__":
    main()
