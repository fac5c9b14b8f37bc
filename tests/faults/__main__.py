"""A long run of the harness, and its figures as a table:

python tests/faults --seconds 1800 --seed 4
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="faults", description="Crash the server, and look.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", default=secrets.token_hex(4))
    parser.add_argument("--max-gib", type=float, default=4, help="of files, together")
    parser.add_argument("--folder", type=Path, help="stays, with all that is left in it")
    said = parser.parse_args()
    print(f"seed {said.seed}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = said.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        figures = run(
            folder, seconds=said.seconds, seed=said.seed, max_bytes=int(said.max_gib * 2**30)
        )
    print(figures.table())
    return 1 if any(figures.faults.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
