"""Do bundles of AzureTRE's shapes register, and do resources of them keep what they say?"""

from dataclasses import replace
from pathlib import Path

import pytest

from carrel.core.actors import WorkspaceRole
from carrel.core.errors import Conflict, Denied, InvalidRequest, NotFound
from carrel.core.settings import load
from carrel.workspaces.bundles import Bundle, Registration, inspect
from carrel.workspaces.catalogue import Catalogue
from carrel.workspaces.drivers import load_drivers
from carrel.workspaces.rules import Offer, ResourceKind
from carrel.workspaces.schemas import InvalidProperties
from tests.factories import make_actor
from tests.workspaces import House

BUNDLES = Path(__file__).parents[1] / "bundles"
FOLDERS = {
    "workspace": BUNDLES / "workspaces" / "deep",
    "shared": BUNDLES / "shared_services" / "wall",
    "service": BUNDLES / "workspace_services" / "lab",
    "desk": BUNDLES / "workspace_services" / "lab" / "user_resources" / "desk",
}
SECRET = "s3cr3t-that-nobody-reads"
K = ResourceKind


@pytest.fixture
def house(database, clock, tmp_path):
    made = House(database, clock, tmp_path)
    made.workspaces.catalogue = Catalogue(load_drivers(BUNDLES / "map.toml"))
    yield made
    made.close()


@pytest.fixture
def registered(house):
    for folder in FOLDERS.values():
        house.workspaces.register(house.admin, folder)
    return house


def make(house, **properties):
    given = {"display_name": "Deep", **properties}
    made, _ = house.workspaces.create_workspace(house.admin, "site-workspace-deep", given)
    house.work()
    return house.again(made)


# Reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", FOLDERS.values(), ids=FOLDERS)
def test_a_bundle_of_azuretre_is_read_without_a_problem(folder):
    found = inspect(folder)
    assert found.problems == []
    assert found.template is not None
    assert found.template.origin == "azuretre"


def test_kind_and_parent_come_from_the_place_in_the_tree():
    loaded = {name: Bundle.load(folder).template for name, folder in FOLDERS.items()}
    assert [each.kind for each in loaded.values()] == [
        K.WORKSPACE,
        K.SHARED_SERVICE,
        K.SERVICE,
        K.USER_RESOURCE,
    ]
    assert loaded["desk"].parent == "site-service-lab"


def test_actions_parameters_and_outputs_come_from_porter():
    desk = Bundle.load(FOLDERS["desk"]).template
    assert [each.name for each in desk.actions] == ["start", "stop", "reset_password"]
    assert desk.parameters == ["size", "parent_service_id"]
    assert desk.outputs == ["hostname"]


def test_posting_what_a_folder_says_gives_the_same_template(registered):
    found = inspect(FOLDERS["service"]).registration
    body = found.payload(K.SERVICE, is_current=True)
    posted = Registration(body["name"], "9.0.0", body["json_schema"])
    made = registered.workspaces.register_posted(
        registered.admin, K.SERVICE, posted, is_current=False
    )
    known = registered.workspaces.get_template(registered.admin, K.SERVICE, "site-service-lab")
    assert made.schema == known.schema
    assert (made.is_current, known.is_current) == (False, True)


# Resources ----------------------------------------------------------------------------------


def test_defaults_and_conditions_hold_for_what_is_created(registered):
    made = make(registered)
    assert made.properties["shared_storage_quota"] == 5
    assert made.properties["mail"] == {"host": "mail.invalid"}
    assert "review_kind" not in made.properties
    with pytest.raises(InvalidProperties, match="review_key"):
        make(
            registered,
            display_name="Two",
            enable_review=True,
            review_kind="keyed",
            review_store="vault",
        )


def test_a_secret_three_conditions_deep_and_one_in_a_group_are_sealed(registered):
    made = make(
        registered,
        enable_review=True,
        review_kind="keyed",
        review_store="vault",
        review_key=SECRET,
        mail={"login": {"user": "u", "password": SECRET}},
    )
    assert made.properties["review_key"] == "REDACTED"
    assert made.properties["mail"]["login"] == {"user": "u", "password": "REDACTED"}
    with registered.database.read() as connection:
        whole = registered.workspaces.reveal(connection, made)
    assert whole["review_key"] == SECRET
    assert whole["mail"]["login"]["password"] == SECRET


def test_a_conditional_property_is_patched_with_its_conditions(registered):
    made = make(registered)
    together = {"enable_review": True, "review_kind": "keyed"}
    registered.workspaces.update(registered.admin, made.id, etag="*", properties=together)
    registered.work()
    assert registered.again(made).properties["review_store"] == "none"
    with pytest.raises(InvalidProperties, match="Send them together"):
        registered.workspaces.update(
            registered.admin, made.id, etag="*", properties={"review_kind": "plain"}
        )
    with pytest.raises(InvalidProperties, match="fixed"):
        registered.workspaces.update(
            registered.admin, made.id, etag="*", properties={"address_space_size": "large"}
        )


def make_wall(house):
    wall, _ = house.workspaces.create_shared_service(
        house.admin, "site-shared-service-wall", {"display_name": "Wall"}
    )
    house.work()
    return wall


def test_a_pipeline_puts_its_rule_into_a_shared_service_and_takes_it_out(registered):
    wall = make_wall(registered)
    workspace = make(registered)
    owner = registered.person(workspace, WorkspaceRole.OWNER)
    lab, _ = registered.workspaces.create_service(
        owner,
        workspace.id,
        "site-service-lab",
        {"display_name": "Lab", "admin_password": SECRET, "hosts": ["b.invalid"]},
    )
    registered.work()
    assert registered.again(lab).is_deployed
    (rule,) = registered.again(wall).properties["rule_collections"]
    assert rule["name"] == f"lab-{lab.id}"
    assert rule["rules"] == [{"name": "web", "port": 443, "hosts": ["b.invalid"]}]
    registered.disable(lab)
    registered.workspaces.delete(registered.admin, lab.id)
    registered.work()
    assert registered.again(wall).properties["rule_collections"] == []


def test_a_user_resource_and_its_actions(registered):
    make_wall(registered)
    workspace = make(registered)
    owner = registered.person(workspace, WorkspaceRole.OWNER)
    lab, _ = registered.workspaces.create_service(
        owner, workspace.id, "site-service-lab", {"display_name": "Lab"}
    )
    registered.work()
    desk, _ = registered.workspaces.create_user_resource(
        owner, workspace.id, lab.id, "site-service-lab-desk", {"display_name": "Desk"}
    )
    registered.work()
    assert registered.again(desk).properties["size"] == "1 CPU"
    registered.workspaces.invoke_action(owner, desk.id, "stop")
    registered.work()
    assert not registered.again(desk).wants_running


def test_what_no_driver_can_run_registers_and_is_refused_with_the_reason(database, clock, tmp_path):
    house = House(database, clock, tmp_path)
    for folder in FOLDERS.values():
        house.workspaces.register(house.admin, folder)
    found = house.workspaces.get_template(house.admin, K.WORKSPACE, "site-workspace-deep")
    assert found.driver == ""
    with pytest.raises(Conflict, match="template_map") as refused:
        make(house)
    assert refused.value.code == "driver_missing"
    house.close()


# Versions -----------------------------------------------------------------------------------


def post(house, version, *, name="site-shared-service-wall", kind=K.SHARED_SERVICE, **given):
    registration = inspect(FOLDERS["shared"]).registration
    return house.workspaces.register_posted(
        house.admin,
        kind,
        replace(registration, name=name, version=version),
        is_current=given.pop("is_current", True),
        **given,
    )


def test_the_first_version_is_current_and_a_known_one_is_refused(house):
    assert post(house, "1.0.0", is_current=False).is_current
    with pytest.raises(Conflict, match="A template with the same version, or a newer version"):
        post(house, "1.0.0")
    assert post(house, "2.0.0").is_current
    versions = house.workspaces.list_template_versions(
        house.admin, K.SHARED_SERVICE, "site-shared-service-wall"
    )
    assert [(each.version, each.is_current) for each in versions] == [
        ("1.0.0", False),
        ("2.0.0", True),
    ]


def test_a_version_in_testing_is_chosen_on_purpose_only(house):
    name = "site-shared-service-wall"
    assert not post(house, "1.0.0", channel="testing").is_current
    with pytest.raises(NotFound):
        house.workspaces.get_template(house.admin, K.SHARED_SERVICE, name)
    made, _ = house.workspaces.create_shared_service(
        house.admin, name, {"display_name": "W"}, template_version="1.0.0"
    )
    assert made.template_version == "1.0.0"
    assert house.workspaces.available_upgrades(made) == ()
    promoted = house.workspaces.promote_template(house.admin, K.SHARED_SERVICE, name, "1.0.0")
    assert (promoted.is_current, promoted.channel) == (True, "current")


def test_a_withdrawn_version_is_kept_by_what_exists_and_refused_to_what_is_new(house):
    name = "site-shared-service-wall"
    post(house, "1.0.0")
    post(house, "1.1.0")
    made, _ = house.workspaces.create_shared_service(house.admin, name, {"display_name": "W"})
    house.work()
    gone = house.workspaces.withdraw_template(
        house.admin, K.SHARED_SERVICE, name, "1.1.0", "It forgets rules."
    )
    assert gone.withdrawal == "It forgets rules."
    assert house.workspaces.get_template(house.admin, K.SHARED_SERVICE, name).version == "1.0.0"
    assert house.again(made).template_version == "1.1.0"
    house.disable(made)
    house.workspaces.delete(house.admin, made.id)
    house.work()
    with pytest.raises(Conflict, match="It forgets rules"):
        house.workspaces.create_shared_service(
            house.admin, name, {"display_name": "W"}, template_version="1.1.0"
        )
    assert house.audited()[-1] != "template.withdrawn"
    assert "template.withdrawn" in house.audited()


def test_only_administrators_register_withdraw_and_promote(registered):
    nobody = make_actor()
    key = (K.SHARED_SERVICE, "site-shared-service-wall", "2.0.4")
    with pytest.raises(Denied):
        registered.workspaces.register(nobody, FOLDERS["shared"])
    with pytest.raises(Denied):
        registered.workspaces.withdraw_template(nobody, *key, "Because.")
    with pytest.raises(Denied):
        registered.workspaces.promote_template(nobody, *key)


# The catalogue of a workspace ----------------------------------------------------------------


def test_a_workspace_uses_only_what_its_catalogue_offers(registered):
    make_wall(registered)
    workspace = make(registered)
    owner = registered.person(workspace, WorkspaceRole.OWNER)
    rooms = registered.workspaces

    def offered():
        found = rooms.list_templates(owner, K.SERVICE, workspace_id=workspace.id)
        return {each.name for each in found}

    assert offered() == {"notebooks", "site-service-lab"}
    rooms.set_workspace_offers(registered.admin, workspace.id, [Offer("notebooks", "0.1.0")])
    assert offered() == {"notebooks"}
    with pytest.raises(Denied, match="may not be used in this workspace"):
        rooms.create_service(owner, workspace.id, "site-service-lab", {"display_name": "Lab"})
    made, _ = rooms.create_service(owner, workspace.id, "notebooks", {"display_name": "N"})
    assert made.template_version == "0.1.0"
    with pytest.raises(Denied):
        rooms.set_workspace_offers(owner, workspace.id, None)
    rooms.set_workspace_offers(registered.admin, workspace.id, None)
    assert offered() == {"notebooks", "site-service-lab"}
    assert registered.audited()[-1] == "workspace.catalogue_set"


def test_a_pinned_version_is_used_though_another_is_current(registered):
    make_wall(registered)
    workspace = make(registered)
    registration = inspect(FOLDERS["service"]).registration
    registered.workspaces.register_posted(
        registered.admin, K.SERVICE, replace(registration, version="0.4.0"), is_current=True
    )
    registered.workspaces.set_workspace_offers(
        registered.admin, workspace.id, [Offer("site-service-lab", "0.3.1")]
    )
    owner = registered.person(workspace, WorkspaceRole.OWNER)
    made, _ = registered.workspaces.create_service(
        owner, workspace.id, "site-service-lab", {"display_name": "Lab"}
    )
    assert made.template_version == "0.3.1"


def test_a_workspace_may_be_let_test_versions(registered):
    make_wall(registered)
    workspace = make(registered)
    owner = registered.person(workspace, WorkspaceRole.OWNER)
    registration = inspect(FOLDERS["service"]).registration
    registered.workspaces.register_posted(
        registered.admin,
        K.SERVICE,
        replace(registration, version="0.4.0"),
        is_current=False,
        channel="testing",
    )

    def create():
        made, _ = registered.workspaces.create_service(
            owner,
            workspace.id,
            "site-service-lab",
            {"display_name": "Lab"},
            template_version="0.4.0",
        )
        return made

    with pytest.raises(Denied):
        create()
    registered.workspaces.set_workspace_offers(
        registered.admin, workspace.id, [Offer("site-service-lab", is_testing=True)]
    )
    assert create().template_version == "0.4.0"


def test_the_shipped_map_is_read_and_a_wrong_one_is_named(tmp_path):
    load_drivers()
    wrong = tmp_path / "map.toml"
    wrong.write_text('[[template]]\nmatch = "x"\nkind = "workspace"\ndriver = "record"\n')
    with pytest.raises(InvalidRequest, match="mere record"):
        load_drivers(wrong)
    assert load(tmp_path, template_map=wrong).template_map == wrong
