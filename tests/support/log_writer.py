"""One writer of the log's crash tests: appends what it was given, remembers how far it got, may be killed anywhere.

python -m tests.support.log_writer STORE NAME COUNT STATE
"""

import sys
from pathlib import Path

from tallystick.components.core.files import write_text
from tallystick.components.core.receipts.log import Log
from tallystick.components.core.storage import open_store


def main(uri: str, name: str, count: int, state: Path) -> None:
    log = Log(open_store(uri))
    if not state.exists():
        write_text(state, f"0 {log.size()}")
    done, since = map(int, state.read_text().split())
    again = True  # the entry may be in the log already: the one before us was killed before it could say so
    while done < count:
        place = log.append(f"{name} entry {done}".encode(), since=since if again else None)
        done, since, again = done + 1, place + 1, False
        write_text(state, f"{done} {since}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
