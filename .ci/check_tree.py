"""Rules of the tree that no compiler checks. Prints every breach with its place and fails on any.

    check_tree.py               from the root of the repository
    check_tree.py --self-test   shows that each rule finds what it forbids
"""

import pathlib
import re
import subprocess
import sys
import tomllib

MAX_LINES = 600
MAX_ENTRY_LINES = 40
# The Proxy-Wasm ABI is a foreign interface; nothing else may be unsafe.
UNSAFE_ALLOWED = {"filter/src/abi.rs", "filter/src/entry.rs"}
# What repeats the workspace's lints instead of inheriting them, and the one lint it may weaken.
OWN_LINTS = {"filter": {("rust", "unsafe_code"): "deny"}}
# Written by tools or taken as it is: no prose and no code of ours.
FOREIGN = re.compile(r"(^|/)(Cargo\.lock|LICENSE)$")

HOSTS = re.compile(
    r"\b(crates\.io|docs\.rs|pypi\.org|pythonhosted\.org|npmjs\.(org|com)|docker\.io|ghcr\.io|quay\.io"
    r"|gcr\.io|proxy\.golang\.org|huggingface\.co)\b"
)
MACHINE_PATHS = re.compile(r"(?<![\w.$}>-])/(work|root|home|Users|tmp)/[\w.]")
UNFINISHED = re.compile(r"\b(todo|unimplemented|dbg)!")
UNSAFE = re.compile(r"\bunsafe\b\s*(\{|fn\b|impl\b|extern\b|trait\b|\()")
TEST_PATH = re.compile(r"(^|/)(tests|tests\.rs|testing|testing\.rs|benches|examples)(/|$)")


def line_breaches(path, text):
    """Yields (line, what is wrong) for the rules that look at single lines."""
    rust = path.endswith(".rs")
    for number, line in enumerate(text.splitlines(), 1):
        if not FOREIGN.search(path):
            if found := HOSTS.search(line):
                yield number, f"names the registry host {found[0]}"
            if found := MACHINE_PATHS.search(line):
                yield number, f"names a path of one machine ({found[0]}...)"
        code = line.split("//")[0] if rust else ""
        if found := UNFINISHED.search(code):
            yield number, f"{found[0]} is unfinished work"
        if path not in UNSAFE_ALLOWED and UNSAFE.search(code):
            yield number, "unsafe code is for " + " and ".join(sorted(UNSAFE_ALLOWED))


def size_breaches(path, text):
    """Yields what is wrong with a Rust file's size."""
    if not path.endswith(".rs") or TEST_PATH.search(path):
        return
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        yield f"{len(lines)} lines; one concept a file, at most {MAX_LINES}"
    code = [line for line in lines if line.strip() and not line.lstrip().startswith("//")]
    if re.search(r"src/(main|lib)\.rs$", path) and len(code) > MAX_ENTRY_LINES:
        yield f"{len(code)} lines of code; an entry file has at most {MAX_ENTRY_LINES}"


def lint_breaches(crate, manifest, workspace):
    """Yields how a crate's lints fall short of the workspace's."""
    lints = manifest.get("lints", {})
    if lints == {"workspace": True}:
        return
    if crate not in OWN_LINTS:
        yield "must inherit the workspace's lints ([lints] workspace = true)"
        return
    for tool, wanted in workspace.items():
        for lint, level in wanted.items():
            expected = OWN_LINTS[crate].get((tool, lint), level)
            if lints.get(tool, {}).get(lint) != expected:
                yield f"lint {tool}.{lint} must be {expected!r}, as in the workspace"


def listed_files():
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    return [name for name in names if name and pathlib.Path(name).is_file()]


def tree_breaches():
    for path in listed_files():
        try:
            text = pathlib.Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for line, breach in line_breaches(path, text):
            yield f"{path}:{line}: {breach}"
        for breach in size_breaches(path, text):
            yield f"{path}: {breach}"
    root = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["workspace"]
    for crate in root["members"]:
        manifest = tomllib.loads(pathlib.Path(crate, "Cargo.toml").read_text())
        for breach in lint_breaches(crate, manifest, root["lints"]):
            yield f"{crate}/Cargo.toml: {breach}"


def self_test():
    forbidden = [
        ("a.md", "get it from crates" + ".io"),
        ("a.sh", "cd /work" + "/main"),
        ("a.sh", 'x="/tmp' + '/thing"'),
        ("a.rs", "    todo" + "!()"),
        ("a.rs", "unsafe" + " { x() }"),
        ("a.rs", "unsafe" + " impl Send for X {}"),
    ]
    for path, text in forbidden:
        assert list(line_breaches(path, text)), f"{text!r} was not found"
    allowed = [
        ("a.rs", "#![forbid(unsafe_code)] // unsafe" + " { }"),
        ("filter/src/abi.rs", "unsafe" + " { x() }"),
        ("a.sh", 'mktemp -d "$tools/tmp/x"'),
        ("Cargo.lock", "crates" + ".io"),
    ]
    for path, text in allowed:
        assert not list(line_breaches(path, text)), f"{text!r} is allowed in {path}"
    assert list(size_breaches("a/src/x.rs", "x\n" * 601))
    assert not list(size_breaches("a/src/tests.rs", "x\n" * 601))
    assert not list(size_breaches("a/src/x.rs", "x\n" * 600))
    assert list(size_breaches("a/src/lib.rs", "x\n" * 41))
    assert not list(size_breaches("a/src/lib.rs", "// x\n" * 41))
    workspace = {"rust": {"unsafe_code": "forbid", "missing_docs": "deny"}}
    assert list(lint_breaches("picker", {}, workspace))
    assert not list(lint_breaches("picker", {"lints": {"workspace": True}}, workspace))
    weak = {"lints": {"rust": {"unsafe_code": "deny"}}}
    assert len(list(lint_breaches("filter", weak, workspace))) == 1


def main():
    self_test()
    if sys.argv[1:] == ["--self-test"]:
        return 0
    breaches = list(tree_breaches())
    for breach in breaches:
        print(breach)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
