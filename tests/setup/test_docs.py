"""What the documents list is what there is."""

import re

from worldvla.home import project_root
from worldvla.lake.tables import TABLES


def test_the_table_reference_names_every_column() -> None:
    text = (project_root() / "docs" / "tables.md").read_text()
    documented = {}
    for section in text.split("\n## ")[1:]:
        name, _, body = section.partition("\n")
        cells = [line.split("|")[1] for line in body.splitlines() if line.startswith("| ")][1:]
        documented[name] = {column.strip(" *") for cell in cells for column in cell.split(",")}
    assert documented == {name: set(table.schema.names) for name, table in TABLES.items()}


def test_files_that_the_documents_name_exist() -> None:
    root = project_root()
    for document in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        for path in re.findall(
            r"`((?:worldvla|pipelines|assets|sql|setup|docs|benchmarks)/[\w./-]+)`", document.read_text()
        ):
            assert (root / path).exists(), f"{document.name} names {path}"
