"""Is everything that is wrong with a bundle named, each with its file and line?"""

import json
import shutil

import pytest
from typer.testing import CliRunner

from carrel.cli.templates import app
from carrel.workspaces.bundles import Bundle, InvalidBundle, inspect
from carrel.workspaces.bundles.lines import json_lines, toml_lines, yaml_lines
from carrel.workspaces.rules import ResourceKind
from tests.integration.test_azuretre_bundles import FOLDERS


@pytest.fixture
def folder(tmp_path):
    copy = tmp_path / "workspace_services" / "lab"
    shutil.copytree(FOLDERS["service"], copy)
    return copy


def edit(folder, file, old, new):
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("porter.yaml", "name: site-service-lab", "name: a b", "letters"),
        ("porter.yaml", 'version: "0.3.1"', "version: 0.3", "must be text"),
        ("porter.yaml", 'version: "0.3.1"', 'version: "1"', "three numbers"),
        ("porter.yaml", "  - name: port\n", "  - nome: port\n", "needs a name"),
        ("porter.yaml", "renew:\n", "re new:\n", "no name that an action"),
        ("porter.yaml", "registry: example", "regstry: example", "neither a setting"),
        ("porter.yaml", "registry: example", "name: twice", "stands twice"),
        ("porter.yaml", "mixins:\n", "mixins: [\n", "not valid YAML"),
        ("template_schema.json", '"type": "integer"', '"type": "int"', "int"),
        ("template_schema.json", '"stepId": "main"', '"stepId": ""', "stepId"),
        ("template_schema.json", '"title": "Laboratory",', '"title": "Laboratory"', "JSON"),
    ],
)
def test_a_problem_is_told_with_its_file_and_line(folder, file, old, new, words):
    line = edit(folder, file, old, new)
    found = inspect(folder)
    told = [one for one in found.problems if one.file == file and words in str(one)]
    assert told, [str(each) for each in found.problems]
    assert abs(told[0].line - line) <= 1
    assert found.template is None
    with pytest.raises(InvalidBundle):
        Bundle.load(folder)


def test_every_problem_is_told_at_once(folder):
    edit(folder, "porter.yaml", "name: site-service-lab", "name: a b")
    edit(folder, "porter.yaml", 'version: "0.3.1"', 'version: "1"')
    edit(folder, "template_schema.json", '"type": "integer"', '"type": "int"')
    edit(folder, "template_schema.json", '"type": "string"', '"type": "text"')
    assert len([one for one in inspect(folder).problems if one.is_serious]) >= 4


def test_the_kind_is_asked_for_outside_the_tree(tmp_path):
    shutil.copytree(FOLDERS["desk"], tmp_path / "desk")
    assert "--kind" in str(inspect(tmp_path / "desk").problems[-1])
    found = inspect(tmp_path / "desk", kind=ResourceKind.USER_RESOURCE)
    assert "--parent" in str(found.problems[-1])
    whole = inspect(tmp_path / "desk", kind=ResourceKind.USER_RESOURCE, parent="lab")
    assert whole.template is not None
    assert whole.template.parent == "lab"


def test_lines_are_found_in_every_format():
    assert json_lines('{\n "a": [1,\n  {"b": 2}]\n}')["a", 1, "b"] == 3
    assert yaml_lines("a:\n  - 1\n  - b: 2\n")["a", 1, "b"] == 3
    assert toml_lines("x = 1\n[a]\nb = 2\n[[c]]\nd = 1\n[[c]]\nd = 2\n")["c", 1, "d"] == 7


def test_the_command_prints_the_payload_or_the_problems(folder):
    runner = CliRunner()
    good = runner.invoke(app, ["register", "--dry-run", "--json", str(folder)])
    assert good.exit_code == 0, good.output
    shown = json.loads(good.stdout)
    assert shown["payload"]["name"] == "site-service-lab"
    assert shown["payload"]["customActions"] == [{"name": "renew", "description": ""}]
    edit(folder, "porter.yaml", 'version: "0.3.1"', 'version: "1"')
    bad = runner.invoke(app, ["validate", "--json", str(folder)])
    assert bad.exit_code == 1
    assert json.loads(bad.stdout)["problems"][0]["file"] == "porter.yaml"
