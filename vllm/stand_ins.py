"""Makes empty stand-ins for the NVIDIA libraries that torch is linked against.

The torch of the package index is a CUDA build: importing it loads libcudart, libcublas and others,
several gigabytes that a CPU-only server never calls. For each such library that is absent, this
writes a shared library that exports the symbols torch refers to (with their version names) and
returns an error code from every function. Nothing on the CPU path calls them.

    stand_ins.py TORCH_LIB_DIRECTORY        needs gcc and readelf
"""

import collections
import pathlib
import re
import subprocess
import sys
import tempfile

NVIDIA_LIBRARY = re.compile(r"lib(cu|nv|nccl)")
NVIDIA_SYMBOL = re.compile(r"(cu|nv|nccl|pnccl)")
# The driver's library is opened at run time, and its absence is how torch knows there is no GPU.
DRIVER = "libcuda.so.1"


def readelf(*arguments):
    command = ["readelf", "--wide", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def needed_libraries(library):
    """The names in the library's NEEDED entries, in order."""
    return re.findall(r"\(NEEDED\).*\[(.+)\]", readelf("--dynamic", library))


def version_owners(library):
    """Which needed library each symbol version of `library` comes from."""
    owners, current = {}, None
    for line in readelf("--version-info", library).splitlines():
        if found := re.search(r"File: (\S+)", line):
            current = found[1]
        elif current and (found := re.search(r"Name: (\S+)\s+Flags", line)):
            owners[found[1]] = current
    return owners


def undefined_symbols(library):
    """Yields (name, version or "", is it an object) of each symbol the library wants from others."""
    for line in readelf("--dyn-syms", library).splitlines():
        fields = line.split()
        if len(fields) < 8 or fields[6] != "UND":
            continue
        name, _, version = fields[7].partition("@")
        yield name, version.lstrip("@"), fields[3] == "OBJECT"


def wanted_symbols(directory):
    """For each absent library: for each version name, the symbols and whether each is an object."""
    libraries = [path for path in directory.glob("*.so*") if not path.is_symlink()]
    present = {path.name for path in directory.iterdir()}
    wanted = {}
    for library in libraries:
        absent = [
            name
            for name in needed_libraries(library)
            if NVIDIA_LIBRARY.match(name) and name != DRIVER and name not in present
        ]
        if not absent:
            continue
        for name in absent:
            wanted.setdefault(name, collections.defaultdict(dict))
        owners = version_owners(library)
        for symbol, version, is_object in undefined_symbols(library):
            if version:
                owner = owners.get(version)
                if owner in absent:
                    wanted[owner][version][symbol] = is_object
            elif NVIDIA_SYMBOL.match(symbol):
                # Without a version any loaded library may provide it.
                wanted[absent[0]][""][symbol] = is_object
    return wanted


def build(directory, name, versions):
    """Compiles one stand-in."""
    code, script = [], []
    for version, symbols in versions.items():
        for symbol, is_object in sorted(symbols.items()):
            # 999 is "unknown error" in every CUDA library.
            code.append(f"long {symbol}[8];" if is_object else f"long {symbol}(void) {{ return 999; }}")
        if version:
            script.append(f"{version} {{ global: {' '.join(f'{symbol};' for symbol in sorted(symbols))} }};")
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch, "stand_in.c")
        source.write_text("\n".join(code or ["static long nothing; long *stand_in = &nothing;"]) + "\n")
        command = ["gcc", "-shared", "-fPIC", "-fno-builtin", "-w", "-o", str(directory / name), str(source)]
        command.append(f"-Wl,-soname,{name}")
        if script:
            versions_file = pathlib.Path(scratch, "versions.map")
            versions_file.write_text("\n".join(script) + "\n")
            command.append(f"-Wl,--version-script,{versions_file}")
        subprocess.run(command, check=True)


def main():
    directory = pathlib.Path(sys.argv[1])
    wanted = wanted_symbols(directory)
    for name, versions in sorted(wanted.items()):
        build(directory, name, versions)
    print(f"made {len(wanted)} stand-ins in {directory}")


if __name__ == "__main__":
    main()
