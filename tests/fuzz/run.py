"""Fuzz every parser with atheris, each for an equal share of the time; exit 1 on a finding.

    python tests/fuzz/run.py [--seconds 60] [target …]

The input of a finding is printed as it goes into fuzz_seeds.py, where it belongs from then on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from fuzz_seeds import SEEDS

MAX_BYTES = 4096


def fuzz(name: str, options: list[str]) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["incoming_wsgi", "fuzz_targets"]):
        from fuzz_targets import TARGETS

    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()


def run(name: str, seconds: int) -> bool:
    """Whether all was well."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, findings = Path(folder, "corpus"), Path(folder, "findings")
        corpus.mkdir()
        findings.mkdir()
        for number, seed in enumerate(SEEDS[name]):
            (corpus / str(number)).write_bytes(seed)
        options = [
            f"-max_total_time={seconds}",
            f"-max_len={MAX_BYTES}",
            # By the clock: a busy machine must not look like a slow parser.
            "-timeout=100",
            "-report_slow_units=100",
            f"-artifact_prefix={findings}/",
            str(corpus),
        ]
        process = subprocess.run(
            [sys.executable, __file__, "--one", name, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        found = sorted(findings.iterdir())
        last = process.stdout.rstrip().rpartition("\n")[2]
        if process.returncode == 0 and not found:
            print(f"{name}: {last}", flush=True)
            return True
        print(process.stdout[process.stdout.find(" === ") :][:8000])
        for path in found:
            print(f"{name}: FOUND {path.name.partition('-')[0]}: {path.read_bytes()!r}", flush=True)
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="for all of them together")
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(SEEDS))
    given = parser.parse_args()
    targets = given.targets or list(SEEDS)
    if unknown := set(targets) - SEEDS.keys():
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    share = max(1, given.seconds // len(targets))
    failed = [name for name in targets if not run(name, share)]
    print(f"{len(targets) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2], sys.argv[3:])
    sys.exit(main())
