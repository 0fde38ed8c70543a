"""Write the address of a release into its source: [project.urls], and README's links, which are relative until then.

python .github/address.py https://host/owner/name v1.0
"""

import re
import sys
from pathlib import Path


def with_urls(pyproject: str, address: str, tag: str) -> str:
    """pyproject.toml, with pages of the repository at `address`."""
    pages = {
        "Source": address,
        "Documentation": f"{address}/blob/{tag}/docs/index.md",
        "Changelog": f"{address}/blob/{tag}/CHANGELOG.md",
        "Issues": f"{address}/issues",
    }
    table = "".join(f'{name} = "{page}"\n' for name, page in pages.items())
    return pyproject.replace("[project.scripts]\n", f"[project.urls]\n{table}\n[project.scripts]\n")


def with_whole_links(readme: str, address: str, tag: str) -> str:
    """README.md, its relative links leading to the files of `tag` at `address`."""
    kinds = {"!": "raw", "": "blob"}  # a picture itself, a page that shows the file
    relative = r"(!?)(\[[^\]]*\])\((?!https?://|#)([^)]+)\)"
    return re.sub(relative, lambda link: f"{link[1]}{link[2]}({address}/{kinds[link[1]]}/{tag}/{link[3]})", readme)


def main() -> None:
    """Rewrite pyproject.toml and README.md of this source."""
    address, tag = sys.argv[1:]
    root = Path(__file__).parent.parent
    for name, edit in (("pyproject.toml", with_urls), ("README.md", with_whole_links)):
        file = root / name
        file.write_text(edit(file.read_text(encoding="utf-8"), address, tag), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
