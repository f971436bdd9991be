"""Run by CI on the bill of materials of the built wheel: name the version, and check what it lists."""

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def complete(path: Path) -> str:
    """Write the version into a CycloneDX file; a missing dependency, or one of the machine's, is an error."""
    version = re.findall(r'__version__.* = "(.+)"', (ROOT / "leadconnector_async" / "_version.py").read_text())[0]
    document = json.loads(path.read_text())
    names = {one["name"].lower().replace("_", "-") for one in document["components"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[^\w.-]", text)[0] for text in project["dependencies"] if "win32" not in text}
    assert needed <= names, needed - names
    assert not names & {"pip", "setuptools", "pytest"}, names
    assert all(one.get("version") and one.get("licenses") for one in document["components"])
    assert "file:" not in path.read_text(), "an address of this machine"
    document["metadata"]["component"] |= {"version": version, "type": "library"}
    path.write_text(json.dumps(document, indent=1) + "\n")
    return f"leadconnector-async {version} needs {', '.join(sorted(names))}"


if __name__ == "__main__":
    sys.stdout.write(complete(Path(sys.argv[1])) + "\n")
