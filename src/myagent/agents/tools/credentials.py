"""Places that hold credentials: our own tools ask before they read one, in every mode, and what was in it is covered.

A place is a file, or a directory with all that is in it; a pattern names the end of its path (`.aws`, `.config/gh`),
each name with `*` for anything. Capitals make no difference: some file systems do not tell them apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

COVERED = "[covered]"
ASKED = (
    "it is a place that holds credentials, so it is asked for in every mode, and its values are covered for everybody"
)

# Ours first: tokens of other servers, which own them, and what binds them to this machine.
DEFAULT = (
    *("myagent/remotes", ".local/state/myagent", ".local/share/myagent", "Application Support/myagent", ".ssh"),
    *(".gnupg", ".aws", ".azure", ".config/gcloud", ".kube", "kubeconfig", ".docker/config.json", ".oci"),
    *(".s3cfg", ".boto", ".config/rclone", ".config/doctl", ".config/gh", ".config/hub", ".config/glab-cli"),
    *(".vault-token", ".terraformrc", "credentials.tfrc.json", ".netrc", "_netrc", ".pgpass", ".my.cnf"),
    *(".git-credentials", ".npmrc", ".pypirc", ".cargo/credentials*", ".gem/credentials", ".m2/settings.xml"),
    *(".htpasswd", "etc/shadow", "etc/gshadow", ".claude/.credentials.json", ".claude.json"),
    *(".codex/auth.json", ".gemini/oauth_creds.json", ".qwen/oauth_creds.json", "opencode/auth.json", ".kimi"),
    *(".copilot", ".config/github-copilot", ".local/share/keyrings", ".password-store", "Library/Keychains"),
    *(".config/op", ".config/Bitwarden*", "*.kdbx", ".mozilla", ".thunderbird", ".config/google-chrome*"),
    *(".config/chromium", ".config/BraveSoftware", ".config/vivaldi", "Application Support/Google/Chrome"),
    *("Application Support/Firefox", "snap/firefox", "snap/chromium", ".env", ".env.*", ".envrc", "*.pem"),
    *("*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ovpn", "id_rsa*", "id_dsa*", "id_ecdsa*"),
    "id_ed25519*",
)  # fmt: skip
NOT = ("*.pub", ".env.example", ".env.sample", ".env.template", ".env.dist")

_VALUE = re.compile(r"""^(\s*(?:export\s+|-\s+)?["']?[\w.-]{1,128}["']?\s*[:=])\s*\S.*$""")
_HEADING = re.compile(r"\s*\[[\w .\"'-]{1,128}\]\s*|\s*")


class Places:
    """Which paths hold credentials. `changes` are further patterns, or with `!` before it one that is left out."""

    def __init__(self, changes: Iterable[str] = ()) -> None:
        self.changes = tuple(changes)
        left_out = {each[1:] for each in self.changes if each.startswith("!")}
        added = [each.strip("/") for each in self.changes if not each.startswith("!") and each.strip("/")]
        self.patterns = tuple(each for each in (*DEFAULT, *added) if each not in left_out)
        self._found = re.compile(rf"(?:^|/)(?:{'|'.join(map(_regex, self.patterns))})(?:/|$)")
        self._not = re.compile(rf"(?:{'|'.join(map(_regex, NOT))})$")

    def hold(self, parts: Sequence[str]) -> bool:
        """Whether a path, by its names from the root on, is such a place or within one."""
        path = "/".join(parts).casefold()
        return self._found.search(path) is not None and self._not.search(path) is None

    def within(self, directory: Path) -> list[str]:
        """Those that are in a directory, of which the name is known."""
        named = [each for each in self.patterns if "*" not in each and each not in ("kubeconfig",)]
        return [each for each in named if (directory / each).exists()]


def _regex(pattern: str) -> str:
    return re.escape(pattern.casefold()).replace(r"\*", "[^/]*")


def covered(text: str) -> str:
    """What may be shown of such a file: its names and headings, and of the rest only that it is there."""
    return "".join(_covered_line(line) for line in text.splitlines(keepends=True))


def _covered_line(line: str) -> str:
    body = line.rstrip("\r\n")
    end = line[len(body) :]
    if _HEADING.fullmatch(body):
        return line
    if found := _VALUE.match(body):
        return f"{found[1]} {COVERED}{end}"
    return f"{COVERED}{end}"
