"""Files below a media root can be named, and no others, whatever links and races there are."""

import errno
import os
import threading
from pathlib import Path

import pytest

from polyvec.errors import MediaError, OverloadedError, UnsupportedInputError
from polyvec.media import files
from polyvec.media.encoded import Wanted
from polyvec.media.files import has_openat2, open_by_steps, open_file
from polyvec.media.policy import MediaPolicy

SECRET = b"secret"
FILE = b"picture"


@pytest.fixture(params=["kernel", "steps"])
def way(request, monkeypatch):
    """Both ways to stay below a root; the kernel's where the kernel has it."""
    if request.param == "steps":
        monkeypatch.setattr(files, "has_openat2", lambda: False)
    return request.param


@pytest.fixture
def root(tmp_path):
    """A root with a picture in it, and a secret beside it."""
    folder = tmp_path / "media"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "cat.png").write_bytes(FILE)
    (folder / "a" / "b" / "ünder.png").write_bytes(FILE)
    (tmp_path / "secret.png").write_bytes(SECRET)
    (tmp_path / "media2").mkdir()
    (tmp_path / "media2" / "secret.png").write_bytes(SECRET)
    return folder


def wanted(*roots, **limits):
    return Wanted("image", MediaPolicy(roots=tuple(map(str, roots)), **limits), "input[3]")


def read(path, *roots, **limits):
    with open_file(str(path), wanted(*roots, **limits)) as file:
        assert file.seekable()
        os.fstat(file.fileno())
        return file.read()


def assert_not_found(path, *roots):
    with pytest.raises(MediaError) as caught:
        open_file(str(path), wanted(*roots))
    error = caught.value
    assert error.code == "media_not_found"
    assert error.param == "input[3]"
    shown = f"'{path}'" if str(path).isprintable() and len(str(path)) < 200 else ""
    assert shown in error.message
    assert error.message.endswith(" below this server's media roots")
    assert error.__cause__ is None


def test_files_are_named_relative_absolute_or_by_uri(root, way):
    for path in (
        "cat.png",
        "./cat.png",
        root / "cat.png",
        f"file://{root}/cat.png",
        f"file://localhost{root}/cat.png",
        f"FILE:{root}/cat.png",
        f"{root}//cat.png",
        "a/b/ünder.png",
        f"file://{root}/a/b/%C3%BCnder.png",
    ):
        assert read(path, root) == FILE


def test_the_first_root_that_has_the_file_wins(root, tmp_path, way):
    other = tmp_path / "other"
    other.mkdir()
    (other / "cat.png").write_bytes(b"other")
    (other / "dog.png").write_bytes(b"dog")
    assert read("cat.png", root, other) == FILE
    assert read("cat.png", other, root) == b"other"
    assert read("dog.png", root, other) == b"dog"
    assert read(other / "cat.png", root, other) == b"other"


def test_a_root_may_be_reached_through_a_link_or_be_below_another(root, tmp_path, way):
    link = tmp_path / "link"
    link.symlink_to(root)
    for path in (link / "cat.png", root / "cat.png", "cat.png"):
        assert read(path, link) == FILE
    assert read(root / "a" / "b" / "ünder.png", root / "a" / "b") == FILE


def test_nothing_outside_a_root_is_opened(root, tmp_path, way):
    for path in (
        "../secret.png",
        "a/../../secret.png",
        f"{root}/../secret.png",
        tmp_path / "secret.png",
        tmp_path / "media2" / "secret.png",
        f"file://{tmp_path}/secret.png",
        f"file://{root}/%2e%2e/secret.png",
        f"file://{root}/..%2fsecret.png",
        "/etc/hostname",
        "/proc/self/environ",
        "file:///etc/hostname",
        "file://evil.example/etc/hostname",
        "~/secret.png",
    ):
        assert_not_found(path, root)


def test_what_is_no_path_is_not_found(root, way):
    for path in (
        "",
        "/",
        ".",
        "a",
        "cat.png/",
        "cat.png/x",
        "cat.png\0",
        "cat.png\0.mp4",
        "nope.png",
        "\ud800",
        "x" * 300,
        "x/" * 3000 + "y",
        str(root),
        "file:cat.png",
        "file://[/cat.png",
        "file:///%ff",
        f"file://{root}/cat.png?x",
        "http://127.0.0.1/cat.png",
    ):
        assert_not_found(path, root)


def test_a_message_is_short_and_has_only_what_the_caller_wrote(root):
    with pytest.raises(MediaError) as caught:
        open_file("\x1b[31m" + "x" * 5000, wanted(root))
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400
    assert str(root) not in caught.value.message


def test_links_do_not_lead_out(root, tmp_path, way):
    (root / "out.png").symlink_to(tmp_path / "secret.png")
    (root / "up.png").symlink_to("../secret.png")
    (root / "folder").symlink_to(tmp_path / "media2")
    (root / "loop.png").symlink_to("loop.png")
    (root / "self").symlink_to("/proc/self/root")
    (root / "fd").symlink_to("/proc/self/fd")
    for path in ("out.png", "up.png", "folder/secret.png", "loop.png", "self/etc/hostname", "fd/0"):
        assert_not_found(path, root)


def test_links_that_stay_inside_are_followed_where_the_kernel_can_tell(root):
    (root / "inside.png").symlink_to("a/b/ünder.png")
    if has_openat2():
        assert read("inside.png", root) == FILE
    else:
        assert_not_found("inside.png", root)


def test_without_the_kernels_help_no_link_is_followed_at_all(root):
    (root / "inside.png").symlink_to("cat.png")
    (root / "folder").symlink_to("a")
    folder = os.open(root, os.O_RDONLY)
    try:
        for parts in (["inside.png"], ["folder", "b", "ünder.png"]):
            with pytest.raises(OSError, match=r"symbolic|directory"):
                open_by_steps(folder, parts)
        os.close(open_by_steps(folder, ["a", "b", "ünder.png"]))
    finally:
        os.close(folder)


def test_only_regular_files_are_opened_and_nothing_blocks(root, way):
    os.mkfifo(root / "pipe.png")
    (root / "null").symlink_to("/dev/null")
    for path in ("pipe.png", "a", "a/b", "null"):
        assert_not_found(path, root)


def test_no_descriptor_stays_open_after_a_refusal(root, way):
    os.mkfifo(root / "pipe.png")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("pipe.png", "a", "nope.png", "cat.png/x", "a/b/nope.png"):
        assert_not_found(path, root)
    with pytest.raises(MediaError):
        open_file("cat.png", wanted(root, limit_bytes=3))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("limit", [len(FILE), len(FILE) - 1])
def test_the_size_limit_is_exact(root, limit):
    if limit == len(FILE):
        assert read("cat.png", root, limit_bytes=limit) == FILE
        return
    with pytest.raises(MediaError) as caught:
        open_file("cat.png", wanted(root, limit_bytes=limit))
    assert caught.value.code == "image_too_large"


def test_without_roots_the_flag_is_named():
    with pytest.raises(UnsupportedInputError, match="--media-root"):
        open_file("/etc/hostname", wanted())


def test_a_root_that_has_gone_away_has_no_files(root, tmp_path):
    assert_not_found("cat.png", tmp_path / "gone")
    assert read("cat.png", tmp_path / "gone", root) == FILE


def test_too_many_open_files_are_not_the_callers_fault(root, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(files.os, "open", full)
    with pytest.raises(OverloadedError):
        open_file("cat.png", wanted(root))


def test_a_folder_that_turns_into_a_link_meanwhile_never_leads_out(root, tmp_path, way):
    """A thread swaps a folder and a link to the outside while another opens a file in it."""
    real, link, spare = root / "swap", root / "link", root / "spare"
    real.mkdir()
    (real / "secret.png").write_bytes(FILE)
    link.symlink_to(tmp_path / "media2")
    done = threading.Event()

    def swap():
        while not done.is_set():
            real.rename(spare)
            link.rename(real)
            real.rename(link)
            spare.rename(real)

    swapper = threading.Thread(target=swap)
    swapper.start()
    found = set()
    try:
        for _ in range(500):
            try:
                found.add(read("swap/secret.png", root))
            except MediaError as error:
                found.add(error.code)
    finally:
        done.set()
        swapper.join()
    assert found <= {FILE, "media_not_found"}
    assert read("swap/secret.png", root) == FILE
