"""Checks the two images in the directory of OCI layouts against what docs/kubernetes.md promises.

    check-images.py IMAGES PLUGIN.wasm
"""

import gzip
import hashlib
import io
import json
import pathlib
import sys
import tarfile


def blob(layout, descriptor):
    algorithm, digest = descriptor["digest"].split(":")
    content = (layout / "blobs" / algorithm / digest).read_bytes()
    assert hashlib.new(algorithm, content).hexdigest() == digest, f"{digest} is another blob"
    return content


def image(layout):
    """The configuration of an image and the files of each of its layers."""
    index = json.loads((layout / "index.json").read_text())
    [manifest] = [json.loads(blob(layout, entry)) for entry in index["manifests"]]
    layers = []
    for layer in manifest["layers"]:
        archive = tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob(layout, layer))))
        layers.append({entry.name: (entry, archive.extractfile(entry)) for entry in archive if entry.isfile()})
    return json.loads(blob(layout, manifest["config"])), layers


def main():
    images, wasm = map(pathlib.Path, sys.argv[1:])
    _, layers = image(images / "filter")
    assert list(layers[-1]) == ["plugin.wasm"], f"the filter's last layer holds {list(layers[-1])}"
    assert layers[-1]["plugin.wasm"][1].read() == wasm.read_bytes(), "plugin.wasm is another module"

    config, layers = image(images / "agent")
    files = {name: entry for layer in layers for name, (entry, _) in layer.items()}
    assert list(files) == ["zerohop-agent"], f"the agent's image holds {list(files)}"
    # Some writers of archives leave the kind of the file in its mode.
    mode = files["zerohop-agent"].mode & 0o7777
    assert mode == 0o555, f"the agent's mode is {mode:o}"
    run = config["config"]
    assert run["User"] == "65532:65532", f"the agent runs as {run['User']}"
    assert run["Entrypoint"] == ["/zerohop-agent"], f"the agent's entry point is {run['Entrypoint']}"


if __name__ == "__main__":
    main()
