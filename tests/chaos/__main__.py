"""`python -m tests.chaos --seeds 1,2,3 --database postgresql --seconds 30`."""

import argparse
import shutil
import signal
import sys

from sandbox.postgresql import binaries
from tests.chaos.clock import compiler
from tests.chaos.faults import domains_of, faults_for
from tests.chaos.run import Result, run
from tests.chaos.schedule import schedule_of


def main() -> int:
    """Run the seeds one after the other; 1 if any ledger disagrees."""
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))  # runs the clean-up of a world
    options = _options()
    if options.database == "postgresql" and binaries() is None:
        print("No PostgreSQL server is installed here.")
        return 1
    if compiler() is None:
        print("There is no C compiler here: clocks are not set.")
    if options.plan:
        for seed in options.seeds:
            domains = domains_of(faults_for(options.database))
            plan = schedule_of(seed, seconds=options.seconds, count=options.faults, domains=domains)
            print(f"seed {seed} {plan.epoch}", *plan.steps, sep="\n")
        return 0
    results = []
    for seed in options.seeds:
        result = run(
            seed, database=options.database, seconds=options.seconds, count=options.faults, copies=options.copies
        )
        results.append(result)
        _show(result, options)
    totals = [sum(getattr(r, name) for r in results) for name in ("faults", "submitted", "jobs", "effects")]
    failed = [r.schedule.seed for r in results if r.violations]
    print(
        f"{len(results)} runs on {options.database}: {totals[0]} faults, {totals[1]} submissions, {totals[2]} jobs, "
        f"{totals[3]} effects; seeds that failed: {failed or 'none'}"
    )
    return 1 if failed else 0


def _show(result: Result, options: argparse.Namespace) -> None:
    print(result, flush=True)
    if not result.violations:
        shutil.rmtree(result.folder, ignore_errors=True)
        return
    for violation in result.violations:
        print(f"  VIOLATION {violation}")
    seed = result.schedule.seed
    print(f"  logs: {result.folder}")
    print(
        f"  again: python -m tests.chaos --seeds {seed} --database {options.database} --seconds {options.seconds:g} "
        f"--faults {options.faults} --copies {options.copies}",
        flush=True,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=_seeds, default=[1], metavar="1,2,3")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--seconds", type=float, default=30, help="how long things break (default: 30)")
    parser.add_argument("--faults", type=int, default=12, help="how many faults strike (default: 12)")
    parser.add_argument("--copies", type=int, default=2, help="how many workers, schedulers and listeners (default: 2)")
    parser.add_argument("--plan", action="store_true", help="only print what would break when")
    return parser.parse_args()


def _seeds(text: str) -> list[int]:
    return [int(word) for word in text.replace(",", " ").split()]


if __name__ == "__main__":
    sys.exit(main())
