"""`make fuzz`: decoder and handshake under atheris, hostile frames on real sockets, inputs that grow; prints all.

`python -m tests.fuzz [PART…] [--seed N] [--inputs N] [--frames N]`. Each part is first run with a bug planted in it,
which must be found. `--connection N` plays one connection of the storm again. Without atheris, the inputs are those of
the seeded mutator alone, which knows nothing of the code that it reaches.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import growth as growing
from tests.fuzz import targets
from tests.fuzz.mutator import Mutator
from tests.fuzz.storm import FRAMES, Storm, storm

GROWN = 64 << 20  # bytes of memory that the server may have more after the storm: far less than it was sent
PLANTED_INPUTS = 100_000  # in which a planted bug must be found
PLANTED_FRAMES = 2000
PLANTED_SHAPES = 200


def decoder(arguments: argparse.Namespace) -> bool:
    return _inputs("decoder", arguments, lambda: targets.decoder, targets.MESSAGES, targets.JSON_WORDS)


def handshake(arguments: argparse.Namespace) -> bool:
    return _inputs("handshake", arguments, targets.Handshake, targets.REQUESTS, targets.HTTP_WORDS)


def sockets(arguments: argparse.Namespace) -> bool:
    if arguments.connection is None:
        found = _storm(arguments.seed, PLANTED_FRAMES, module=("tests.fuzz.planted",))
        say(f"the planted bug is {'found' if found.wrong else 'NOT FOUND'} in {found.frames} frames: {found.wrong[:1]}")
        if not found.wrong:
            return False
        done = _storm(arguments.seed, arguments.frames)
    else:
        done = _storm(arguments.seed, FRAMES, first=arguments.connection)
    say(f"{done.frames} frames on {done.connections} connections; answers, and codes of closes: {dict(done.codes)}")
    say(f"a follower beside them saw {done.watched} events; the server's memory grew by {done.grown >> 10} KiB")
    for wrong in done.wrong:
        say(f"WRONG: {wrong}")
    return not done.wrong and done.grown < GROWN


def growth(arguments: argparse.Namespace) -> bool:
    for name, target in growing.PLANTED.items():
        if not growing.search(arguments.seed, PLANTED_SHAPES, {name: target}, until_found=True).wrong:
            say(f"{name} was NOT FOUND")
            return False
    say(f"the {len(growing.PLANTED)} planted ones are found")
    found = growing.search(arguments.seed, arguments.shapes)
    largest = growing.SIZES[-1] >> 10
    say(f"{found.inputs} inputs that grow to {largest} KiB; the longest took {found.longest:.3f} s of processor time")
    for wrong in found.wrong:
        say(f"WRONG: {wrong}")
    return not found.wrong


def _storm(seed: int, frames: int, *, first: int = 0, module: tuple[str, ...] = ("myagent",)) -> Storm:
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(storm(Path(directory), seed, frames, first=first, module=module))


def _inputs(
    name: str,
    arguments: argparse.Namespace,
    make: Callable[[], Callable[[bytes], None]],
    corpus: list[bytes],
    words: list[bytes],
) -> bool:
    if importlib.util.find_spec("atheris") is not None:
        if _guided(name, PLANTED_INPUTS, arguments.seed, "--planted") == 0:
            say("the planted bug was NOT FOUND")
            return False
        say("the planted bug is found")
        code = _guided(name, arguments.inputs, arguments.seed)
        say(f"{arguments.inputs} inputs under atheris: {'nothing' if code == 0 else 'something'} found")
        return code == 0
    say("atheris is not installed: inputs of the seeded mutator alone")
    target, mutator = make(), Mutator(arguments.seed, corpus, words)
    for number in range(arguments.inputs):
        try:
            target(mutator.input(number))
        except Exception as error:
            say(f"WRONG: input {number} of seed {arguments.seed}: {error!r}")
            return False
    say(f"{arguments.inputs} inputs: nothing found")
    return True


def _guided(name: str, inputs: int, seed: int, *more: str) -> int:
    """The exit code; what it found is told in its output, and kept in a file."""
    command = [sys.executable, "-m", "tests.fuzz.guided", name, "--runs", str(inputs), "--seed", str(seed), *more]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0 and not more:
        print(done.stdout[-5000:] + done.stderr[-5000:])
    return done.returncode


def say(line: str) -> None:
    print(f"  {line}", flush=True)


PARTS: dict[str, Callable[[argparse.Namespace], bool]] = {
    each.__name__: each for each in (decoder, handshake, sockets, growth)
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz at length.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 10**9))
    parser.add_argument("--inputs", type=int, default=1_000_000, help="of the decoder, and of the handshake")
    parser.add_argument("--frames", type=int, default=100_000, help="on real sockets")
    parser.add_argument("--shapes", type=int, default=100, help="of inputs that grow, for each of what handles them")
    parser.add_argument("--connection", type=int, metavar="N", help="play that one connection of the seed again")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}")
    wrong = []
    for name in arguments.parts or PARTS:
        began = time.monotonic()
        print(f"{name} (seed {arguments.seed})", flush=True)
        if not PARTS[name](arguments):
            wrong.append(name)
        say(f"{'WRONG' if name in wrong else 'right'}, {time.monotonic() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
