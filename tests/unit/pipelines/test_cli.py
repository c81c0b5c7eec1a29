"""The command line: help a person can follow, messages without tracebacks, exit codes as documented."""

import json

import pytest

from tallystick.components.core.errors import ExitCode
from tallystick.pipelines import cli
from tests.support.lending import write_files

COMMANDS = ["demo", "run", "validate", "compile", "card", "rollout", "simulate"]
COMMANDS += ["verify", "bundle", "approve", "override"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_its_exit_codes(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "exit codes:" in text
    assert "--json" in text


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run"], ["demo", "--fast"], ["compile", "--format", "pdf"]])
def test_usage_errors_are_exit_code_2(arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == ExitCode.BAD_INPUT


def test_validate_passes_good_data(tmp_path, capsys):
    data, contract, policy = write_files(tmp_path)
    code = cli.main(["validate", str(data), "--contract", str(contract), "--policy", str(policy)])
    assert code == ExitCode.DONE
    assert "pass" in capsys.readouterr().out


def test_validate_refuses_a_value_out_of_range_and_names_column_and_row(tmp_path, capsys):
    data, contract, _ = write_files(tmp_path)
    lines = data.read_text().splitlines()
    cells = lines[7].split(",")
    cells[3] = "1000"  # late_payments may be 99 at most
    data.write_text("\n".join([*lines[:7], ",".join(cells), *lines[8:]]) + "\n")
    code = cli.main(["validate", str(data), "--contract", str(contract), "--json"])
    assert code == ExitCode.GATE_REFUSED
    verdict = json.loads(capsys.readouterr().out)
    (objection,) = [check for check in verdict["checks"] if check["outcome"] == "fail"]
    assert "late_payments" in objection["detail"]
    assert "row 7" in objection["detail"]
    assert "99" in objection["detail"]


def test_a_file_that_is_not_there_is_named_without_a_traceback(tmp_path, capsys):
    code = cli.main(["run", "--data", "no.csv", "--contract", "no.yaml", "--policy", "no.yaml"])
    captured = capsys.readouterr()
    assert code == ExitCode.BAD_INPUT
    assert "no.yaml" in captured.err
    assert "Traceback" not in captured.err


def test_errors_are_json_for_machines(tmp_path, capsys):
    words = ["run", "--json", "--data", "no.csv", "--contract", str(tmp_path), "--policy", "no.yaml"]
    code = cli.main(words)
    answer = json.loads(capsys.readouterr().out)
    assert (code, answer["exit_code"]) == (2, 2)
    assert str(tmp_path) in answer["error"]


def test_a_card_of_no_run_is_refused(tmp_path, capsys):
    assert cli.main(["card", "--runs-dir", str(tmp_path)]) == ExitCode.BAD_INPUT
    assert "is not a run's folder" in capsys.readouterr().err


def test_compile_writes_the_file_whole_and_tells_its_digest(tmp_path, capsys):
    from tallystick.components.core.files import sha256_of_file

    output = tmp_path / "pipeline.yaml"
    assert cli.main(["compile", "--json", "--output", str(output)]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["sha256"] == sha256_of_file(output)


def test_compile_into_a_folder_that_is_not_there_or_cannot_be_is_told(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["compile", "--output", str(tmp_path / "file" / "x.yaml")]) == ExitCode.BROKE
    assert "cannot be written" in capsys.readouterr().err
