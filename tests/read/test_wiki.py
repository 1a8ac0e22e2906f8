"""Dumps of a MediaWiki."""

import bz2
import time
from pathlib import Path

import pytest

from ceiba.base.errors import DataError
from ceiba.read import ReadSpec, open_frame
from ceiba.read.wiki import plain_text

PAGE = "<page><title>{title}</title><ns>{ns}</ns><revision><text>{text}</text></revision></page>"
HEAD = '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11"><siteinfo/>'
MARKUP = "'''Ceiba''' is a [[genus]] of [[tree|trees]] &amp;amp; more.&lt;ref&gt;x&lt;/ref&gt;"
CHINESE = "{{Infobox|{{nested|a}}}}\n== 历史 ==\n* 北京是[[中国]]的首都。\n{| class=x\n| table\n|}"
REDIRECT = PAGE.format(title="Kapok", ns=0, text="#REDIRECT [[Ceiba]]")
ARTICLES = [
    PAGE.format(title="Ceiba", ns=0, text=MARKUP),
    PAGE.format(title="Talk:Ceiba", ns=1, text="talk"),
    REDIRECT.replace("<revision>", '<redirect title="Ceiba"/><revision>'),
    PAGE.format(title="北京", ns=0, text=CHINESE),
]


def write(path: Path, body: str) -> Path:
    path.write_bytes(bz2.compress(body.encode()) if path.suffix == ".bz2" else body.encode())
    return path


@pytest.mark.parametrize("name", ["dump.xml", "dump.xml.bz2"])
def test_articles_become_rows_of_plain_text(tmp_path: Path, name: str) -> None:
    frame = open_frame(write(tmp_path / name, HEAD + "".join(ARTICLES) + "</mediawiki>"))
    assert frame.to_table().to_pylist() == [
        {"title": "Ceiba", "text": "Ceiba is a genus of trees & more."},
        {"title": "北京", "text": "历史\n北京是中国的首都。"},
    ]
    assert "2 redirects and pages" in frame.notes[0]


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("", ""),
        ("[[File:A.jpg|thumb|a [[cat]] on a mat]]word", "word"),
        ("see [https://x.org the site] and [https://y.org]", "see the site and"),
        ("{{a|{{b|{{c}}}}}}rest {{open", "rest {{open"),
        ("a<br/>b <nowiki>''c''</nowiki>", "ab c"),
    ],
)
def test_markup_is_taken_off(markup: str, text: str) -> None:
    assert plain_text(markup) == text


def test_damaged_foreign_and_hostile_files_are_told(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>' + HEAD + "</mediawiki>"
    for body, rule in (
        (HEAD + ARTICLES[0], "must be XML"),
        ("<html></html>", "MediaWiki export. Got <html>"),
        (bomb, "must not declare entities. Got 'a'"),
    ):
        with pytest.raises(DataError, match=rule):
            open_frame(write(tmp_path / "bad.xml", body), ReadSpec(format="wiki"))


def test_markup_without_an_end_takes_no_longer_than_it_is_long() -> None:
    for part in ("[[a:", "{{", "<ref>", "<!--", "== a ", "[[x|"):
        began = time.process_time()
        plain_text(part * 20_000)
        assert time.process_time() - began < 5, part
