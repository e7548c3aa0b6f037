"""What is kept compiled belongs to the sources it was made from."""

from rhnas.vta.compiled import sources_hash


def test_any_change_of_any_source_gives_another_folder(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "part" / "b.py").write_text("y = 1\n")
    before = sources_hash(tmp_path)
    assert sources_hash(tmp_path) == before
    (tmp_path / "part" / "b.py").write_text("y = 2\n")
    changed = sources_hash(tmp_path)
    (tmp_path / "part" / "b.py").rename(tmp_path / "part" / "c.py")
    assert len({before, changed, sources_hash(tmp_path)}) == 3
