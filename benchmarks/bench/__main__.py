"""The command line of benchmarks/run."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from .contenders import Workplace
from .machines import BenchmarkError, build_image
from .measurements import MEASUREMENTS
from .report import RESULTS


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/run",
        description="Measure what we claim about speed and memory, and write it to benchmarks/results/latest.md. "
        "A ratio beyond its target is reported and is no failure; a deployment that does not serve is one.",
    )
    parser.add_argument("measurements", nargs="*", metavar="MEASUREMENT", help=f"{', '.join(MEASUREMENTS)} (all)")
    parser.add_argument("--rounds", type=int, metavar="N", help="5, and 3 for first-deploy")
    chosen = parser.parse_args()
    for name in chosen.measurements:
        if name not in MEASUREMENTS:
            parser.error(f"there is no measurement {name!r}; there are {', '.join(MEASUREMENTS)}")
    if chosen.rounds is not None and not 1 <= chosen.rounds <= 50:
        parser.error("--rounds is a number from 1 to 50")
    return chosen


def stop(number: int, frame: FrameType | None) -> None:
    """Exit as Ctrl-C does, so that machines are removed; ignore further signals."""
    del frame
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def main() -> int:
    """Run the chosen measurements; return the exit status."""
    chosen = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with tempfile.TemporaryDirectory(prefix="flask-blog-bench-") as folder:
        place = Workplace.prepare(Path(folder))
        try:
            print("The machines' image", flush=True)
            build_image()
            for name in chosen.measurements or MEASUREMENTS:
                measure, rounds = MEASUREMENTS[name]
                print(name, flush=True)
                measure(place, chosen.rounds or rounds)
        except BenchmarkError as problem:
            print(f"\n{problem}", file=sys.stderr)
            return 1
        finally:
            place.close_connections()
    print(f"Written to {RESULTS.relative_to(Path.cwd())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
