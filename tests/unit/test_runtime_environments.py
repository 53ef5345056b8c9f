import os
import subprocess
import time
from pathlib import Path

import pytest

from carrel.core.errors import NotFound, OutsideFailure
from carrel.core.processes import roles
from carrel.core.processes.account import Account
from carrel.core.settings import load
from carrel.runtime import environments


@pytest.fixture
def definitions(tmp_path: Path) -> Path:
    """One small environment: no package, one script."""
    definition = tmp_path / "definitions" / "tiny"
    (definition / "files" / "bin").mkdir(parents=True)
    (definition / "environment.toml").write_text('requirements = "none.lock"\napt = ["nosuch"]\n')
    (definition / "none.lock").write_text("")
    script = definition / "files" / "bin" / "where"
    script.write_text("#!@IMAGE@/bin/python -I\nimport sys; print(sys.prefix)\n")
    script.chmod(0o755)
    return definition.parent


def test_an_image_is_built_once_and_knows_where_it_is(definitions, tmp_path):
    steps: list[str] = []
    folder = tmp_path / "images"
    assert environments.find("tiny", folder) is None
    image = environments.build("tiny", folder, definitions=definitions, report=steps.append)
    assert environments.find("tiny", folder) == image
    told = subprocess.run([image / "bin" / "where"], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(image)
    assert steps[-1] == f"{image} is ready"
    began = time.monotonic()
    assert environments.build("tiny", folder, definitions=definitions, report=steps.append) == image
    assert time.monotonic() - began < 0.5
    assert steps[-1] == f"{image} is ready"
    assert len([step for step in steps if "ready" in step]) == 1


def test_everybody_may_read_an_image_and_nobody_else_may_write(definitions, tmp_path):
    image = environments.build("tiny", tmp_path / "images", definitions=definitions)
    for path in (image, *image.rglob("*")):
        mode = path.lstat().st_mode
        if not path.is_symlink():
            assert mode & 0o004, path
            assert not mode & 0o022, path
    text = "\n".join(
        file.read_text() for file in (image / "bin").iterdir() if not file.is_symlink()
    )
    assert ".building" not in text


def test_another_definition_is_another_image(definitions, tmp_path):
    folder = tmp_path / "images"
    first = environments.build("tiny", folder, definitions=definitions)
    (definitions / "tiny" / "files" / "bin" / "where").chmod(0o644)
    second = environments.build("tiny", folder, definitions=definitions)
    assert first != second
    assert environments.find("tiny", folder, definitions=definitions) == second
    os.utime(first)
    assert environments.find("tiny", folder, definitions=definitions) == second


def test_an_older_image_is_not_taken_for_one_that_is_not_built_yet(definitions, tmp_path):
    environments.build("tiny", tmp_path / "images", definitions=definitions)
    (definitions / "tiny" / "none.lock").write_text("# closes something\n")
    assert environments.find("tiny", tmp_path / "images", definitions=definitions) is None


def test_a_failed_build_leaves_nothing_that_could_be_found(definitions, tmp_path):
    (definitions / "tiny" / "none.lock").write_text("not a requirement at all ///\n")
    with pytest.raises(OutsideFailure, match="could not be built"):
        environments.build("tiny", tmp_path / "images", definitions=definitions)
    assert environments.find("tiny", tmp_path / "images") is None


def test_a_half_copied_image_is_not_taken_for_a_whole_one(definitions, tmp_path):
    folder = tmp_path / "images"
    image = environments.build("tiny", folder, definitions=definitions)
    (image / "complete").unlink()
    (image / "bin" / "where").unlink()
    assert environments.find("tiny", folder, definitions=definitions) is None
    assert environments.build("tiny", folder, definitions=definitions) == image
    assert environments.find("tiny", folder, definitions=definitions) == image
    assert (image / "bin" / "where").is_file()


def test_a_name_is_not_mistaken_for_a_longer_one(tmp_path):
    for name in ("tiny-extra-0123456789ab", ".tiny-0123456789ab.building"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "complete").touch()
    assert environments.find("tiny", tmp_path) is None
    (tmp_path / ".tiny-0123456789ab.building").rename(tmp_path / "tiny-0123456789ab")
    assert environments.find("tiny", tmp_path) == tmp_path / "tiny-0123456789ab"


def test_the_roles_and_the_launcher_look_for_images_in_the_same_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("CARREL_ENVIRONMENTS_ROOT", raising=False)
    account = Account(os.getuid(), os.getgid(), frozenset(), drops=False)
    for given in ({}, {"environments_root": tmp_path / "images"}):
        launcher, *others = roles.plan(load(tmp_path, **given), account)
        told = launcher.argv[list(launcher.argv).index("--environments") + 1]
        assert told == str(given.get("environments_root", environments.default_folder()))
        assert {role.environment["CARREL_ENVIRONMENTS_ROOT"] for role in others} == {told}


def test_an_unknown_environment_says_where_to_look(definitions, tmp_path):
    with pytest.raises(NotFound, match="definitions"):
        environments.build("nothing", tmp_path, definitions=definitions)


def test_missing_system_packages_are_named(definitions):
    assert environments.missing_packages("tiny", definitions=definitions) == ["nosuch"]
    assert "python3-venv" not in environments.missing_packages("notebooks")


def test_every_shipped_environment_pins_every_package_by_hash():
    for definition in environments.definitions_folder().iterdir():
        lock = (definition / "requirements.lock").read_text()
        pins = [line for line in lock.splitlines() if "==" in line]
        assert pins
        assert lock.count("--hash=sha256:") >= len(pins)
        assert "://" not in lock
