"""Miniature data: folders of JPEG files, and a web server for archives, because torchvision downloads over HTTP only."""

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, bytes], tuple[str, str]]]:
    """Puts a file (name, content) on the server and gives its URL and md5."""
    folder = tmp_path / "server"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()

    def put(name: str, content: bytes) -> tuple[str, str]:
        (folder / name).write_bytes(content)
        return f"http://127.0.0.1:{server.server_port}/{name}", hashlib.md5(content, usedforsecurity=False).hexdigest()

    yield put
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def tar_gz() -> Callable[[Mapping[str, bytes]], bytes]:
    """A tar.gz of files: path -> content."""

    def pack(contents: Mapping[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for path, content in contents.items():
                member = tarfile.TarInfo(path)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return buffer.getvalue()

    return pack


@pytest.fixture
def jpeg_folder(tmp_path: Path) -> Callable[[Sequence[str]], str]:
    """Writes three training and two test images of 32x32 of each class."""

    def write(classes: Sequence[str]) -> str:
        random = np.random.default_rng(0)
        for part, count in (("train", 3), ("test", 2)):
            for name in classes:
                (tmp_path / "images" / part / name).mkdir(parents=True)
                for number in range(count):
                    pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                    Image.fromarray(pixels).save(tmp_path / "images" / part / name / f"{number:04d}.jpg", quality=75)
        return str(tmp_path / "images")

    return write
