"""One target under atheris, which follows what code each input reaches: `python -m tests.fuzz.guided TARGET --runs N`.

A process of its own: libFuzzer ends the one that it runs in. Exits with 0 when nothing was found, else it says what,
keeps the input in `.cache/fuzz/`, and plays that again with `--play FILE`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["myagent", "websockets.http11", "websockets.server"]):
    from tests.fuzz import targets

KEPT = Path(".cache") / "fuzz"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided")
    parser.add_argument("target", choices=("decoder", "handshake"))
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--planted", action="store_true", help="with a bug that must be found")
    parser.add_argument("--play", metavar="FILE", help="one input, and no more")
    arguments = parser.parse_args()
    decodes = arguments.target == "decoder"
    if arguments.planted:
        (targets.plant_in_decoder if decodes else targets.plant_in_handshake)()
    target = targets.decoder if decodes else targets.Handshake()
    KEPT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        corpus, words = Path(directory) / "corpus", Path(directory) / "words"
        corpus.mkdir()
        kept = directory if arguments.planted else KEPT
        spelled = targets.JSON_WORDS if decodes else targets.HTTP_WORDS
        for number, good in enumerate([*(targets.MESSAGES if decodes else targets.REQUESTS), *spelled]):
            (corpus / str(number)).write_bytes(good)
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in spelled if len(word) < 128))
        options = [
            f"-runs={arguments.runs}", f"-seed={arguments.seed}", f"-dict={words}", f"-artifact_prefix={kept}/",
            "-max_len=65536", "-len_control=10", "-timeout=20", "-rss_limit_mb=2048", "-verbosity=0",
            "-print_final_stats=1",
        ]  # fmt: skip
        atheris.Setup([sys.argv[0], *options, arguments.play or str(corpus)], target)
        atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main()
