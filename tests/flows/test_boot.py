"""The systemd units that the README prints: systemd reads them without a warning, and they fit the command."""

import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dataset.errors import UsageError
from flows import serve

README = Path(__file__).resolve().parents[2] / "flows" / "README.md"
UNITS = re.findall(r"^```ini\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S)
FOLDERS = r"/srv/douban-keyframes|%h/douban-keyframes"
system_and_user = pytest.mark.parametrize("unit", UNITS, ids=["system", "user"])


def service(unit: str) -> "configparser.SectionProxy":
    read = configparser.ConfigParser(interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string(unit)
    return read["Service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@system_and_user
def test_systemd_reads_the_readmes_unit_without_a_warning(unit: str, tmp_path: Path) -> None:
    folder = tmp_path / "douban-keyframes"
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    written = tmp_path / "crawl.service"
    manager = [] if "User=" in unit else ["--user"]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    for text, is_valid in ((unit, True), (unit.replace("KillMode=", "KilMode="), False)):
        written.write_text(text.replace("/srv/douban-keyframes", str(folder)))  # `%h` is HOME
        told = subprocess.run(
            ["systemd-analyze", *manager, "verify", str(written)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ("crawl.service" not in told.stdout + told.stderr) is is_valid, told
        assert told.returncode == 0 or not is_valid, told


def test_both_units_do_the_same() -> None:
    system, user = (dict(service(re.sub(FOLDERS, "FOLDER", unit))) for unit in UNITS)
    assert system.pop("User") == "lab"
    assert system == user
    (crontab,) = re.findall(r"^@reboot cd (.*?) && exec (.*?) >> ", README.read_text("utf-8"), re.M)
    assert "/".join(crontab) == service(UNITS[0])["ExecStart"]
    assert crontab[0] == service(UNITS[0])["WorkingDirectory"]


def test_systemd_does_not_start_wrong_settings_again(tmp_path: Path) -> None:
    (tmp_path / "lab.toml").write_text('source = "douban"\nschedule = "each Monday"\n')
    with pytest.raises(UsageError) as wrong:
        serve.main(["--settings", str(tmp_path / "lab.toml")])
    for unit in UNITS:
        assert str(wrong.value.exit_status) in service(unit)["RestartPreventExitStatus"].split()


def test_a_stop_while_it_starts_is_no_failure_for_systemd() -> None:
    with pytest.raises(SystemExit) as stopped:
        serve._exit()
    assert [service(unit)["SuccessExitStatus"] for unit in UNITS] == 2 * [str(stopped.value.code)]
