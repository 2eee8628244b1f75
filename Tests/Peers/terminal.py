"""A terminal: what stands on the screen after a text was written (pyte), and the width of every character (wcwidth)."""
import json
import sys
import unicodedata

import pyte
from wcwidth import wcwidth


def rows(columns, text):
    screen = pyte.Screen(columns, 2000)
    # As a terminal driver does (ONLCR).
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    # The second cell of a wide character holds an empty text.
    lines = {y: "".join(row[x].data for x in range(columns)).rstrip() for y, row in list(screen.buffer.items())}
    return [lines.get(y, "") for y in range(max((y for y, line in lines.items() if line), default=-1) + 1)]


if sys.argv[1:] == ["widths"]:
    widths = [0] * 0x110000
    for value in range(0x110000):
        if unicodedata.category(chr(value)) not in ("Cn", "Cs", "Co", "Cc"):
            widths[value] = max(0, wcwidth(chr(value)))
    print(json.dumps(widths))
else:
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps({"rows": rows(request["columns"], request["text"])}))
