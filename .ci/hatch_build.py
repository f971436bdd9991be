"""The README as a package index shows it: without links to files, which only the repository has."""

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

_FILE_LINK = re.compile(r"(?<![\w\])])\[([^\]]+)\]\((?!https?://|#)[^)]+\)")


def strip_file_links(text: str) -> str:
    """Keep the words of a link to a file, and links to other places as they are."""
    return _FILE_LINK.sub(r"\1", text)


class ReadmeHook(MetadataHookInterface):
    """Sets the description of the package."""

    def update(self, metadata: dict[str, object]) -> None:
        """Add the README."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": strip_file_links(text)}
