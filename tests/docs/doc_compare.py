"""Output that is shown in a page against output that came: what has to agree, and how well.

Text agrees exactly, but for the width of gaps. A whole number agrees exactly. Any other number
agrees within `TOLERANCE` of its value or one unit of its last digit. Names of runs and models
are new each time: one in the page stands for the same one throughout the page.
"""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

#: Relative. The same command gives the same bits on one machine; another processor adds in another
#: order. Of the four digits that are shown this moves none or the last, after 2,500 steps of a
#: training too; a hundredth is for trainings that are less well-behaved.
TOLERANCE = 1e-3
TRAINED_TOLERANCE = 1e-2
#: Lines of numbers that are nothing but rounding errors, or what a solver's tolerance left over.
ROUNDING = re.compile(r"\bround_trip_rms\b")
ROUNDING_TOLERANCE = 0.5
_TRAINED = re.compile(r"\b(trained|found|loaded)\b.*-[0-9a-f]{10}\b")

#: What a machine, a day or a place decides: (pattern, what it is replaced by).
MASKS = [
    # the moment
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?", "<date>"),
    (r"\d{8}_\d{6}-[0-9a-z]{8}", "<W&B's name of a run>"),
    (r"until (\w+ )?\d\d:\d\d", "until <time>"),
    # how fast the machine is, and so which unit is printed
    (r"\b[\d.,]+ (us|ms|s|min|h|days)\b", "<duration>"),
    (r"[\d.,]+ (samples|images|steps)/s", "<speed>"),
    (r"[\d.,]+ [kMGTP]?B/s", "<speed>"),
    # how much memory the machine has and libraries take, and what is as large as fits into it
    (r"\b[\d.,]+ [kMGTP]?B\b", "<size>"),
    (r"device_batch_size=\d+", "device_batch_size=<what fits>"),
    # numbers that the system gives
    (r"pid[ =]\d+", "pid=<number>"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
    (r"on 1 machine \([^ )]+ ", "on 1 machine (<name> "),
]
_MASKS = [(re.compile(pattern), f" {word} ") for pattern, word in MASKS]
#: Columns of tables that hold such a thing without a unit.
COLUMNS = {"seconds", "MB", "age", "last use"}
#: Lines that a page need not show: those of each minute, of which a slow machine has more, and the
#: same one below many refusals.
UNSAID = re.compile(r", to go about |^fokker --help lists the groups, options and keys$")
#: What tells runs and models apart: the time of a start, and hexadecimal digits.
NAME = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-[0-9a-f]{10}|(?<=-)[0-9a-f]{10}(?![0-9a-z])")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?!\w)")
CUT = "..."


def skeletons(lines: list[str]) -> list[str]:
    """The lines without names, columns of `COLUMNS`, whatever `MASKS` names, and wide gaps."""
    return [" ".join(_masked(line).split()) for line in _without_columns(lines)]


def _masked(line: str) -> str:
    line = NAME.sub("<name>", line)
    for pattern, word in _MASKS:
        line = pattern.sub(word, line)
    return line


def _without_columns(lines: list[str]) -> Iterator[str]:
    head: list[str] = []
    for line in lines:
        cells = re.split(r"\s{2,}", line.strip())
        if COLUMNS & set(cells):
            head = cells
        elif head and len(cells) == len(head):
            cells = ["<any>" if name in COLUMNS else cell for name, cell in zip(head, cells)]
            line = "  ".join(cells)
        elif line != CUT and not line.startswith(" "):
            head = []
        yield line


def patterns(lines: list[str]) -> list[str]:
    """The skeletons with all numbers alike: which line of two outputs is the same line."""
    return [_NUMBER.sub("<number>", line) for line in skeletons(lines)]


def names_in(shown: str, came: str) -> dict[str, str]:
    """The names in a line of the page, and those that stand in their place now."""
    return dict(zip(NAME.findall(shown), NAME.findall(came)))


def agrees(shown: str, came: str, tolerance: float) -> bool:
    """Whether two skeletons are the same; the first may be cut at its end."""
    a, b = _NUMBER.split(shown), _NUMBER.split(came)
    numbers = zip(_NUMBER.findall(shown), _NUMBER.findall(came))
    if ROUNDING.search(shown):
        tolerance = max(tolerance, ROUNDING_TOLERANCE)
    for cut in (CUT, "…"):
        if a[-1].endswith(cut):
            a[-1] = a[-1].removesuffix(cut)
            b = [*b[: len(a) - 1], *(part[: len(a[-1])] for part in b[len(a) - 1 : len(a)])]
    return a == b and all(is_near(x, y, tolerance) for x, y in numbers)


def is_near(shown: str, came: str, tolerance: float) -> bool:
    """Whether two numbers agree as the module says."""
    if shown == came or not {".", "e"} & {*shown, *came}:
        return shown == came
    a, b = float(shown), float(came)
    return abs(a - b) <= max(tolerance * abs(b), 1.01 * _last_digit(shown))


def _last_digit(number: str) -> float:
    digits, _, power = number.partition("e")
    return 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))


def numbers_agree(shown: str, came: str) -> bool:
    """Whether two values have the same numbers, and the same text if they have none."""
    a, b = _NUMBER.findall(shown), _NUMBER.findall(came)
    if not a:
        return shown == came
    return len(a) == len(b) and all(is_near(x, y, TRAINED_TOLERANCE) for x, y in zip(a, b))


def said(lines: list[str]) -> list[str]:
    """The lines that a page has to show."""
    return [line for line in lines if not UNSAID.search(line)]


def tolerance_for(came: list[str]) -> float:
    """The tolerance of numbers, by whether a network was trained for them."""
    return TRAINED_TOLERANCE if any(map(_TRAINED.search, came)) else TOLERANCE


def difference(shown: list[str], came: list[str]) -> str:
    """Why the output that came is not what the page shows; empty where it is."""
    shown, came = said(shown), said(came)
    if not shown or is_shown(shown, came, tolerance_for(came)):
        return ""
    return "\n".join(["the page shows", *shown, "and now it is", *came])


def is_shown(shown: list[str], came: list[str], tolerance: float) -> bool:
    """Whether the output is the one shown, where a line `...` stands for any lines."""
    wanted, there = skeletons(shown), skeletons(came)
    pieces: list[list[str]] = [[]]
    for line in wanted:
        if line == CUT:
            pieces.append([])
        else:
            pieces[-1].append(line)
    start = 0
    for number, piece in enumerate(pieces):
        latest = len(there) - len(piece)
        is_last = number == len(pieces) - 1
        first = latest if is_last and piece else start
        for begin in range(max(start, first), (latest if number else 0) + 1):
            if all(agrees(a, b, tolerance) for a, b in zip(piece, there[begin:])):
                start = begin + len(piece)
                break
        else:
            return False
    return len(pieces) > 1 or start == len(there)


def paired(
    shown: list[str], came: list[str], likeness: float = 1.0
) -> list[tuple[int, int]]:
    """The places of lines shown and of lines that came which are the same but for numbers.

    In order, as many as there are; of equal ones those whose numbers agree best.

    Args:
        shown: the lines of the page.
        came: the lines of the output.
        likeness: below 1, lines are the same too whose text is as similar as that.
    """
    wanted, there = patterns(shown), patterns(came)
    exact, now = skeletons(shown), skeletons(came)
    best: dict[tuple[int, int], float] = {}
    for i in reversed(range(len(wanted))):
        for j in reversed(range(len(there))):
            skipped = max(best.get((i + 1, j), 0.0), best.get((i, j + 1), 0.0))
            taken = _likeness(wanted[i], there[j], exact[i], now[j])
            if not taken and likeness < 1.0 and wanted[i] != CUT:
                ratio = SequenceMatcher(None, wanted[i], there[j], autojunk=False).ratio()
                taken = ratio / 2 if ratio >= likeness else 0.0
            if taken:
                taken += best.get((i + 1, j + 1), 0.0)
            best[i, j] = max(skipped, taken)
    pairs = []
    i = j = 0
    while i < len(wanted) and j < len(there):
        if best[i, j] == best.get((i + 1, j), 0.0):
            i += 1
        elif best[i, j] == best.get((i, j + 1), 0.0):
            j += 1
        else:
            pairs.append((i, j))
            i, j = i + 1, j + 1
    return pairs


def _likeness(wanted: str, there: str, exact: str, now: str) -> float:
    """0 for lines that differ by more than numbers, else from 1 to 2."""
    if wanted == CUT or not agrees(wanted, there, 0.0):
        return 0.0
    numbers = list(zip(_NUMBER.findall(exact), _NUMBER.findall(now)))
    return 1.0 + sum(a == b for a, b in numbers) / (len(numbers) + 1)
