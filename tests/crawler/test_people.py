import stat

import pytest

from crawler.pseudonyms import Pseudonyms
from dataset.errors import PipelineError


def test_a_key_is_created_once_kept_private_and_announced(tmp_path, capsys):
    path = tmp_path / "pseudonym.key"
    first = Pseudonyms.open(path).of("1234567")
    assert "later exports cannot be joined" in capsys.readouterr().err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Pseudonyms.open(path).of("1234567") == first
    assert capsys.readouterr().err == ""


def test_a_pseudonym_is_a_keyed_hash():
    # HMAC-SHA256 under the key 00 … 00, computed with OpenSSL: printf 1234567 | openssl dgst -sha256 -mac HMAC …
    assert Pseudonyms(bytes(32)).of("1234567") == "bf34e0e149a9f4551842e661c012b96e"
    assert Pseudonyms(bytes(31) + b"\x01").of("1234567") != Pseudonyms(bytes(32)).of("1234567")


@pytest.mark.parametrize("content", ["", "no hexadecimal digits", "abcd"])
def test_a_broken_key_is_never_replaced(tmp_path, content):
    path = tmp_path / "pseudonym.key"
    path.write_text(content)
    with pytest.raises(PipelineError, match="put the right key back"):
        Pseudonyms.open(path)
    assert path.read_text() == content
