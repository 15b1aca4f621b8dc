"""What lies in deployments/: job templates that name only variables that they have, services that fit together, an image with what it copies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError
from prefect.utilities.templating import apply_values, find_placeholders

from valuedrift.errors import UserError
from valuedrift.flows.deploy import PLAN, Wanted, deploy

REPOSITORY = Path(__file__).parents[2]
POOLS = REPOSITORY / "valuedrift" / "data" / "pools"


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_every_placeholder_of_a_template_is_one_of_its_variables(kind: str) -> None:
    template = json.loads((POOLS / f"{kind}.json").read_text("utf-8"))
    variables = template["variables"]["properties"]
    named = {placeholder.name for placeholder in find_placeholders(template["job_configuration"])}
    assert named <= variables.keys() and {"image", "env"} <= named
    assert (REPOSITORY / "deployments" / "pools" / f"{kind}.json").samefile(POOLS / f"{kind}.json")


def test_a_job_of_the_cluster_asks_for_its_gpus() -> None:
    template = json.loads((POOLS / "kubernetes.json").read_text("utf-8"))
    values = {name: one.get("default") for name, one in template["variables"]["properties"].items()} | {"gpus": 1, "image": "valuedrift"}
    job = apply_values(template["job_configuration"], values)["job_manifest"]
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == container["resources"]["requests"]["nvidia.com/gpu"] == 1
    assert job["spec"]["backoffLimit"] == 0  # the planner begins a part again, not the cluster


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_the_variables_of_a_template_are_a_schema_that_its_defaults_keep(kind: str) -> None:
    schema = json.loads((POOLS / f"{kind}.json").read_text("utf-8"))["variables"]
    Draft202012Validator.check_schema(schema)
    values = {name: one["default"] for name, one in schema["properties"].items() if "default" in one}
    Draft202012Validator(schema).validate({**values, "image": "valuedrift"})
    with pytest.raises(ValidationError):
        Draft202012Validator(schema).validate({**values, "image": ["valuedrift"]})


def test_what_prefect_deploy_reads_is_what_valuedrift_deploy_makes() -> None:
    told = yaml.safe_load((REPOSITORY / "deployments" / "prefect.yaml").read_text("utf-8"))
    for one in told["deployments"]:
        study = REPOSITORY / one["parameters"]["study"]
        assert study.is_file() and one["tags"] == [f"study:{one['name']}"] and study.stem == one["name"]
        assert one["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}
        assert [schedule["active"] for schedule in one["schedules"]] == [False]
        assert one["work_pool"] == {"name": Wanted("valuedrift", "process", "").pool, "work_queue_name": PLAN}
        assert (REPOSITORY / one["entrypoint"].partition(":")[0]).is_file()


def test_the_services_of_the_compose_file_fit_together() -> None:
    told = yaml.safe_load((REPOSITORY / "deployments" / "compose.yaml").read_text("utf-8"))
    services = told["services"]
    assert {"database", "server", "s3", "worker-1", "worker-2"} <= services.keys()
    for service in services.values():
        assert set(service.get("depends_on", {})) <= services.keys()
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= told["volumes"].keys()
    assert services["worker-1"]["volumes"] != services["worker-2"]["volumes"], "each has a cache of its own"


def test_a_dockerfile_copies_what_it_installs_from() -> None:
    text = (REPOSITORY / "deployments" / "Dockerfile").read_text("utf-8")
    assert "COPY . ." in text and "--constraint constraints.txt" in text and (REPOSITORY / "constraints.txt").is_file()
    ignored = (REPOSITORY / ".dockerignore").read_text("utf-8").split()
    assert not {"flows", "tasks", "storage", "valuedrift", "pyproject.toml", "README.md"} & set(ignored)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted("p", "docker", "s3://b/r"), "--image: a docker pool starts containers, and no image is named"),
        (Wanted("p", "kubernetes", "here", image="v"), "--root here: containers do not see files of this machine"),
        (Wanted("p", "process", "here", cron="0 3 * * *"), "a schedule is of a study, and none is named"),
    ],
)
def test_what_cannot_be_deployed_is_told_before_a_server_is_asked(wanted: Wanted, said: str) -> None:
    with pytest.raises(UserError) as error:
        list(deploy(wanted))
    assert said in str(error.value)


def test_a_schedule_that_is_none_is_told(tmp_path: Path) -> None:
    study = REPOSITORY / "deployments" / "studies" / "demo.yaml"
    with pytest.raises(UserError, match="--schedule every night: not a schedule"):
        list(deploy(Wanted("p", "process", "here", studies=(str(study),), cron="every night")))
