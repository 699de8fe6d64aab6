"""The files of a mounted ConfigMap, exchanged as the kubelet exchanges them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.house import service, write_config
from tests.support.upstream import Upstream, completion


def publish(volume: Path, files: Path, revision: str) -> None:
    """What the kubelet does: a new folder, then one rename of the link `..data`, for all at once."""
    (volume / revision / "prompts").mkdir(parents=True)
    for file in files.iterdir():
        target = "prompts" if file.suffix == ".txt" else "."
        (volume / revision / target / file.name).write_bytes(file.read_bytes())
    (volume / "..data_tmp").symlink_to(revision)
    (volume / "..data_tmp").replace(volume / "..data")
    for name in ("classifier.toml", "prompts"):
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(Path("..data") / name)


async def test_changed_config_map_is_live_without_restart(
    tmp_path: Path, short_model: Upstream, long_model: Upstream
) -> None:
    """A label that was added to the ConfigMap can be given within seconds; no pod restarts."""
    files, volume = tmp_path / "files", tmp_path / "volume"
    files.mkdir()
    config = write_config(files, short_model.url, long_model.url)
    text = config.read_text().replace('prompt = "', 'prompt = "prompts/')
    config.write_text(text)
    publish(volume, files, "..first")
    short_model.answers(completion("refund"))
    long_model.answers(completion("refund"))
    async with service(volume / "classifier.toml") as running:
        before = await running.classify("money back", cache="off")
        assert before.status_code == 503
        config.write_text(
            text.replace('{ name = "login"', '{ name = "refund" },\n  { name = "login"')
        )
        publish(volume, files, "..second")
        for _ in range(100):
            after = await running.classify("money back", cache="off")
            if after.status_code == 200:
                break
            await asyncio.sleep(0.05)
        assert after.json()["label"] == "refund"
