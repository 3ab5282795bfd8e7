"""Nothing outside the workspace is served, and nothing that came along is run."""

import gzip
import http.client
import io
import json
import re
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from served import Served, drop, open_page, put, tab

from pseudoword.errors import SettingsError
from pseudoword.example_files import EXAMPLE_PICTURES
from pseudoword.ui.page.app import check_address, in_url
from pseudoword.ui.workspace import Workspace

pytestmark = pytest.mark.slow

PANDA = EXAMPLE_PICTURES / "noto-white.png"
MARKUP = "<img src=x onerror=window.harmed=1>"


def ask(served: Served, path: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and body of a request; nothing of `path` is tidied up first."""
    request = urllib.request.Request(served.url + path, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def upload(served: Served, name: str, data: bytes) -> tuple[int, bytes]:
    """Send a file as the browser does."""
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = head.encode() + data + b"\r\n--x--\r\n"
    return ask(
        served, "/gradio_api/upload", body, **{"Content-Type": "multipart/form-data; boundary=x"}
    )


def test_what_does_not_change_is_not_asked_for_again_and_the_page_is_sent_short(
    served: Served,
) -> None:
    zipped = {"Accept-Encoding": "gzip"}
    with urllib.request.urlopen(urllib.request.Request(served.url, headers=zipped)) as answer:
        assert answer.headers["content-encoding"] == "gzip"
        assert "immutable" not in (answer.headers["cache-control"] or "")
        html = gzip.decompress(answer.read()).decode()
    asset = re.search(r"assets/[^\"']+\.js", html)
    assert asset is not None
    with urllib.request.urlopen(f"{served.url}/{asset[0]}") as answer:
        assert "immutable" in answer.headers["cache-control"]
    with pytest.raises(urllib.error.HTTPError) as missing:
        urllib.request.urlopen(f"{served.url}/assets/none.js")
    assert "immutable" not in (missing.value.headers["cache-control"] or "")


def test_no_file_outside_is_served(served: Served, tmp_path: Path) -> None:
    secret = served.folder.parent / "secret.txt"
    secret.write_text("secret")
    (served.folder / "models" / "leak").symlink_to(secret)
    status, said = upload(served, "mine.png", PANDA.read_bytes())
    assert status == 200
    (mine,) = json.loads(said)
    folder = str(Path(mine).parent)
    assert ask(served, f"/gradio_api/file={mine}") == (200, PANDA.read_bytes())
    linked = Path(folder) / "linked.txt"
    linked.symlink_to(secret)
    for path in (
        str(secret), "/etc/passwd", f"{folder}/../../../etc/passwd", str(linked),
        f"{folder}/%2e%2e/%2e%2e/%2e%2e/etc/passwd", str(served.folder / "models" / "leak"),
        str(served.folder / "queue"), str(Path(__file__)), "../secret.txt",
        "http://127.0.0.1:1/", "file:///etc/passwd", "//etc/passwd", "C:/Windows/win.ini",
    ):  # fmt: skip
        status, said = ask(served, f"/gradio_api/file={urllib.parse.quote(path, safe='/:%')}")
        assert status in {403, 404}, path
        assert b"secret" not in said
        assert b"root:" not in said


def test_an_upload_is_neither_listed_nor_guessed(served: Served) -> None:
    _, said = upload(served, "private.png", PANDA.read_bytes())
    (mine,) = json.loads(said)
    folder = Path(mine).parent
    guesses = [folder, folder.parent, folder.parent.parent, folder / "other.png"]
    guesses += [folder.with_name(digit * len(folder.name)) / "private.png" for digit in "0f"]
    for guess in guesses:
        assert ask(served, f"/gradio_api/file={guess}")[0] in {403, 404}, guess


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=https://example.com/", "/gradio_api/vibe-code/", "/monitoring",
        "/gradio_api/runs", "/gradio_api/openapi.json", "/docs", "/gradio_api/dev/reload",
        "/gradio_api/file/etc/passwd", "/file=/etc/passwd", "/gradio_api/call/predict",
        "/gradio_api/custom_component/x/y/z/w", "/gradio_api/deep_link", "/gradio_api/mcp/",
    ],
)  # fmt: skip
def test_other_doors_of_gradio_are_shut(served: Served, path: str) -> None:
    assert ask(served, path)[0] == 404


def test_no_other_site_can_have_its_name_lead_here(served: Served) -> None:
    assert ask(served, "/config", Host="evil.example")[0] == 403
    assert ask(served, "/config", Host=f"localhost:{served.port}")[0] == 200


def test_no_event_is_a_public_endpoint(served: Served) -> None:
    status, said = ask(served, "/gradio_api/info")
    assert status == 200
    assert json.loads(said) == {"named_endpoints": {}, "unnamed_endpoints": {}}


def test_no_other_site_can_make_a_browser_upload_something(served: Served) -> None:
    for path in ("/gradio_api/upload", "/gradio_api/queue/join"):
        for site in ("cross-site", "same-site"):
            refused = ask(served, path, b"x", **{"Sec-Fetch-Site": site})
            assert refused[0] == 403
        assert ask(served, path, b"x", **{"Sec-Fetch-Site": "same-origin"})[0] != 403
        for origin in ("http://evil.example", "null"):  # all that is said over plain http
            assert ask(served, path, b"x", Origin=origin)[0] == 403
        assert ask(served, path, b"x", Origin=served.url)[0] != 403


def test_uploads_are_bounded(served: Served) -> None:
    status, said = upload(served, "large.png", bytes(65_000_000))
    assert status == 413, said
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Transfer-Encoding", "chunked")  # which may go on for ever
    connection.endheaders()
    assert connection.getresponse().status == 411
    connection.close()


def test_what_is_served_runs_nothing(served: Served) -> None:
    _, said = upload(served, "page.html", b"<script>window.harmed=1</script>")
    (path,) = json.loads(said)
    with urllib.request.urlopen(f"{served.url}/gradio_api/file={path}", timeout=30) as answer:
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_markup_in_names_and_captions_is_text(page: Page, served: Served, tmp_path: Path) -> None:
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    named = tmp_path / "<img src=x onerror=window.harmed=1>.png"
    named.write_bytes(PANDA.read_bytes())
    named.with_suffix(".txt").write_text(f"{MARKUP} <script>window.harmed=1</script>")
    open_page(page, served)
    drop(page, [named, named.with_suffix(".txt")])
    expect(page.locator("#seen img")).to_be_visible()
    expect(page.locator("#seen")).to_contain_text("onerror=window.harmed")
    put(page, "name", f"{MARKUP} ![x](javascript:harm)")
    page.locator("#seen button").first.click()
    expect(page.locator("#edit")).to_be_visible()
    page.get_by_role("button", name="Captions").click()
    page.click("#teach-start")
    expect(page.locator("#start-told")).not_to_be_empty()
    page.wait_for_timeout(500)
    assert page.evaluate("window.harmed") is None
    own = {served.url, "data:", "blob:"}
    assert [url for url in asked if not url.startswith(tuple(own))] == []


def test_hostile_files_of_words_are_refused_and_nothing_in_them_runs(
    page: Page, served: Served, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    pickled = io.BytesIO()
    with zipfile.ZipFile(pickled, "w") as archive:
        archive.writestr("x/data.pkl", f"cos\nsystem\n(S'touch {ran}'\ntR.".encode())
        archive.writestr("x/version", "3")
    bad = tmp_path / "bad.pt"
    bad.write_bytes(pickled.getvalue())
    plain = tmp_path / "plain.png"
    Image.new("RGB", (64, 64), "red").save(plain)
    open_page(page, served)
    tab(page, "Use")
    page.set_input_files("#bring input[type=file]", [bad])
    expect(page.locator("#brought [role=alert]")).to_contain_text("bad.pt")
    other = tmp_path / "notes.pdf"
    other.write_bytes(b"%PDF-1.4")
    page.set_input_files("#bring input[type=file]", [other])
    expect(page.locator("#brought [role=alert]")).to_contain_text("notes.pdf")
    page.set_input_files("#bring input[type=file]", [plain])
    expect(page.locator("#brought [role=alert]")).to_contain_text("plain.png")
    assert not ran.exists()
    workspace = Workspace(served.folder)
    assert set(workspace.ids("words")) <= set(workspace.ids("queue"))  # those learned here


def test_others_need_a_password() -> None:
    check_address("127.0.0.1", share=False, password=None)
    check_address("localhost", share=False, password=None)
    check_address("0.0.0.0", share=False, password="long")
    for host, share in (("0.0.0.0", False), ("192.168.1.2", False), ("127.0.0.1", True)):
        with pytest.raises(SettingsError, match="--password"):
            check_address(host, share=share, password=None)
    with pytest.raises(SettingsError, match="empty"):
        check_address("127.0.0.1", share=False, password=" ")


def test_an_address_of_ipv6_is_in_brackets_in_a_url() -> None:
    hosts = ("::1", "[::1]", "localhost", "127.0.0.1")
    assert [in_url(host) for host in hosts] == ["[::1]", "[::1]", "localhost", "127.0.0.1"]


def test_nothing_is_shown_without_the_password_also_under_a_path_of_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_ROOT_PATH", "/words")  # docs/page.md says so
    locked = Served(tmp_path / "workspace", "--password", "open sesame")
    try:
        for path in ("/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=x"):
            assert ask(locked, path)[0] == 401, path
        assert upload(locked, "x.png", PANDA.read_bytes())[0] == 401
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert ask(locked, "/login", b"username=me&password=wrong", **form)[0] == 400
        right = b"username=me&password=open+sesame"
        asked = urllib.request.Request(f"{locked.url}/login", right, form)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            cookies = "; ".join(one.split(";")[0] for one in answer.headers.get_all("set-cookie"))
        told = {"X-Forwarded-Host": "pages.example", "X-Forwarded-Proto": "https"}
        status, config = ask(locked, "/config", None, **told, Cookie=cookies)
        assert (status, json.loads(config)["root"]) == (200, "https://pages.example/words")
    finally:
        locked.stop()
        locked.end_trainings()
