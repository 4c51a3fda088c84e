"""What the schema promises is what the server does: requests made from the schema, by schemathesis."""

import subprocess
import sys
from pathlib import Path

import pytest
from serving.servers import PATIENCE, Server

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


def test_answers_to_generated_requests_are_those_of_the_schema(strict: Server, tmp_path: Path) -> None:
    command = [Path(sys.executable).parent / "schemathesis", "run", f"{strict.url}/openapi.json"]
    options = "--phases=examples,coverage,fuzzing --max-examples=8 --seed=1 --no-color"
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    done = subprocess.run(
        [*command, *options.split(), f"--checks={checks}", f"--request-timeout={PATIENCE}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert strict.client.get("/readyz").status_code == 200
