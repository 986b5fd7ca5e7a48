"""Checks that everything we link to may be linked to an Apache-2.0 work.

Looks at the licence that each locked package states; prints every package that states another.
"""

import json
import re
import subprocess
import sys

ALLOWED = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
}
# What is built and shipped; packages for other systems are not even fetched.
PLATFORMS = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "wasm32-wasip1",
    "wasm32-unknown-unknown",
]


def permits(expression):
    """Whether an SPDX expression can be met by allowed licences alone."""
    tokens = re.findall(r"\(|\)|[^\s()]+(?: WITH [^\s()]+)?", expression.replace("/", " OR "))
    terms = {"AND": " and ", "OR": " or ", "(": "(", ")": ")"}
    logic = "".join(terms.get(token) or str(token in ALLOWED) for token in tokens)
    # Only True, False, and, or and parentheses can be left.
    return bool(logic) and eval(logic, {"__builtins__": {}})


def main():
    assert permits("MIT") and permits("MIT/Apache-2.0") and permits("LGPL-2.1 OR (MIT AND ISC)")
    assert not permits("LGPL-3.0") and not permits("MIT AND GPL-2.0") and not permits("")
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    for platform in PLATFORMS:
        command += ["--filter-platform", platform]
    packages = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["packages"]
    refused = [package for package in packages if not permits(package["license"] or "")]
    for package in refused:
        print(f"{package['name']} {package['version']}: licence {package['license'] or 'not stated'}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
