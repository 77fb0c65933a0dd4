"""Every Python block of the pages about Python runs, one after the other."""

import re

import pytest

from conftest import ROOT

PAGES = ["README.md", "docs/how-to/use-from-python.md"]


def blocks(text):
    """The blocks that are whole: those marked as fragments need what others do not have."""
    return [code for marks, code in re.findall(r"(?ms)^```python([^\n]*)\n(.*?)^```$", text) if "fragment" not in marks]


@pytest.mark.parametrize("page", PAGES)
def test_snippets(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    found = blocks((ROOT / page).read_text(encoding="utf-8"))
    assert found
    scope = {}
    for code in found:
        exec(compile(code, page, "exec"), scope)
    if "device" in scope:
        scope["device"].close()
