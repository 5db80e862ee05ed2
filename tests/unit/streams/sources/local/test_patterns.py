import pytest

from streams.sources.local.patterns import BadPattern, GlobPattern, IgnoreRules, Selection, has_magic, split_magic


@pytest.mark.parametrize(
    ("pattern", "taken", "left"),
    [
        ("*.md", ["a.md", ".md"], ["sub/a.md", "a.MD", "a.txt"]),
        ("**/*.md", ["a.md", "sub/a.md", "sub/deep/a.md"], ["a.txt"]),
        ("docs/**", ["docs/a", "docs/b/c"], ["doc/a", "other/docs/a"]),
        ("20[12]?/*/notes.md", ["2024/x/notes.md", "2013/y/notes.md"], ["2034/x/notes.md", "2024/notes.md"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a/b", "z"]),
    ],
)
def test_a_glob_pattern_describes_whole_paths(pattern: str, taken: list[str], left: list[str]) -> None:
    glob = GlobPattern(pattern)
    assert [path for path in taken + left if glob.matches(path)] == taken


def test_a_glob_pattern_knows_which_folders_need_no_walk() -> None:
    glob = GlobPattern("docs/*/img/**/*.png")
    assert [f for f in ("docs/", "docs/a/", "docs/a/img/", "docs/a/img/x/y/") if glob.may_hold(f)] == [
        "docs/",
        "docs/a/",
        "docs/a/img/",
        "docs/a/img/x/y/",
    ]
    assert not any(glob.may_hold(f) for f in ("src/", "docs/a/text/"))
    assert not any(GlobPattern("*.md").may_hold(f) for f in ("sub/", "folder.md/"))


def test_the_folder_of_a_pattern_is_what_stands_before_its_first_magic() -> None:
    assert split_magic("/data/docs/2[0-9]/**/*.md") == ("/data/docs", "2[0-9]/**/*.md")
    assert split_magic("/*.md") == ("/", "*.md")
    assert split_magic("*.md") == (".", "*.md")
    assert not has_magic("/plain/path.md")


def test_hidden_files_and_the_litter_of_tools_are_left_out() -> None:
    rules = IgnoreRules()
    ignored = [".git", ".env", "node_modules", "__pycache__", "~$report.docx", "Thumbs.db"]
    assert all(rules.ignores(name, name) for name in ignored)
    assert not any(rules.ignores(name, name) for name in ["README.md", "git", "a.b"])
    assert not IgnoreRules(shows_hidden=True).ignores(".git/", ".git")


def test_the_last_rule_that_speaks_wins() -> None:
    rules = IgnoreRules(["*.log", "!keep.log", "!.github/"])
    below = rules.below("sub/", ["!*.log", "/private/"])
    assert rules.ignores("a.log", "a.log")
    assert not rules.ignores("keep.log", "keep.log")
    assert not rules.ignores(".github/", ".github")
    assert not below.ignores("sub/a.log", "a.log")
    assert below.ignores("sub/private/", "private")
    assert not below.ignores("sub/x/private/", "private")


def test_a_line_that_is_no_pattern_is_named() -> None:
    with pytest.raises(BadPattern, match="!"):
        IgnoreRules(["!"])


def test_suffixes_are_compared_without_case_and_dot() -> None:
    selection = Selection(suffixes=["md", ".TXT", "tar.gz"])
    names = ["A.MD", "b.txt", "c.tar.GZ", "d.gz", "md"]
    assert [name for name in names if selection.takes(name, name)] == ["A.MD", "b.txt", "c.tar.GZ"]


def test_an_include_pattern_takes_at_any_depth_unless_anchored() -> None:
    selection = Selection(include=["*.md", "/top/*.txt"])
    paths = ["a.md", "x/y/b.md", "top/c.txt", "x/top/d.txt"]
    assert [p for p in paths if selection.takes(p, p.split("/")[-1])] == ["a.md", "x/y/b.md", "top/c.txt"]
