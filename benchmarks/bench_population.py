"""What the bend share of all pairs costs beside the screen of the same pairs.

    python benchmarks/bench_population.py
    python benchmarks/bench_population.py --genes 1000 --threads 1 --cpu

Whole runs of ``poolproof.linearity`` without and with the bend share, in turns in one process; best of three
of each. ``share / screen`` is what the bend share adds, as a part of the run without it.
"""

import argparse
import time

from _common import THREADS, analyse, expression

LIMIT = 1.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", default="robust,corrected")
    parser.add_argument("--design", default="weak", help="how genes correlate")
    parser.add_argument("--genes", type=int, default=4000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--cpu", action="store_true", help="processor time of all threads, not wall time")
    options = parser.parse_args()
    clock = time.process_time if options.cpu else time.perf_counter
    print(
        f"{options.genes:,} genes x {options.samples:,} samples, {options.threads} threads, "
        f"{'processor' if options.cpu else 'wall'} time, best of {options.repeats}"
    )
    print("test       screen s   with share s   share / screen   whole / screen")
    for test in options.tests.split(","):
        adata = expression(options.samples, options.genes, options.design, counts=test == "corrected")
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(options.repeats):
            for share in times:
                start = clock()
                analyse(adata, test, threads=options.threads, population=share, control=False)
                taken = clock() - start
                times[share].append(taken)
        screen, whole = (min(times[share]) for share in (False, True))
        added = (whole - screen) / screen
        print(
            f"{test:10s} {screen:8.2f} {whole:14.2f} {added:16.2f} {whole / screen:16.2f}  "
            f"limit {LIMIT} {'held' if added <= LIMIT else 'MISSED'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
