"""The faults of files and of what stands in them: configuration, passwords, spool, proxies."""

from collections.abc import Callable

from tests.faults.scene import Ran, Scene, fault_of
from tests.faults.table import Fault

FAULTS: list[Fault] = []
fault = fault_of(FAULTS, "files")

CONFIGS: dict[str, tuple[bytes, str]] = {
    "a configuration that is empty": (b"", "logins: missing"),
    "a configuration that is no TOML": (b"[database\nurl =", "is not TOML"),
    "a configuration in UTF-16": ("[database]".encode("utf-16"), "is UTF-16 text"),
    "a configuration in Latin-1": ("# gr\xfc\xdfe\n".encode("latin-1"), "line 1 is Latin-1"),
    "a key that is not known": (b'[database]\nulr = "x"\n', "database.ulr"),
}


def of_config(content: bytes) -> Callable[[Scene], Ran]:
    def cause(scene: Scene) -> Ran:
        scene.config.write_bytes(content)
        return scene.run()

    return cause


for _name, (_content, _says) in CONFIGS.items():
    fault(_name, 10, 0, 0, _says)(of_config(_content))


@fault("a configuration that is not there", 10, 0, 0, "no configuration at")
def _(scene: Scene) -> Ran:
    scene.config.unlink()
    return scene.run()


@fault("a configuration that is a folder", 10, 0, 0, "no configuration at")
def _(scene: Scene) -> Ran:
    scene.config.unlink()
    scene.config.mkdir()
    return scene.run()


@fault("a configuration that others may read", 0, 3, 4, "chmod 600")
def _(scene: Scene) -> Ran:
    scene.config.chmod(0o644)
    return scene.run()


@fault("a configuration that others may write", 0, 3, 4, "others can write")
def _(scene: Scene) -> Ran:
    scene.config.chmod(0o622)
    return scene.run()


@fault("a configuration in a folder that others may write", 0, 3, 4, "chmod go-w")
def _(scene: Scene) -> Ran:
    scene.directory.chmod(0o777)
    return scene.run()


PASSWORDS: dict[str, tuple[bytes | None, int, str]] = {
    "a password file that is not there": (None, 10, "cannot be read: No such file"),
    "a password file that is empty": (b"\n", 10, "is empty"),
    "a password file with a byte order mark": ("\ufeffsecret".encode(), 10, "begins with a byte order mark"),
    "a password file with a second line": (b"secret\nmore\n", 10, "has more than one line"),
    "a password file with blanks": (b" secret\n", 10, "has blanks before or behind it"),
    "a password file with a sign that is not seen": ("sec\u200bret".encode(), 10, "cannot be seen"),
    "a password file that is no text": (b"\xff\xfe\xfd", 10, "not UTF-8 text"),
}


def of_password(content: bytes | None) -> Callable[[Scene], Ran]:
    def cause(scene: Scene) -> Ran:
        if content is not None:
            (scene.directory / "secret").write_bytes(content)
        scene.configure(login='password_file = "secret"')
        return scene.run()

    return cause


for _name, (_password, _code, _says) in PASSWORDS.items():
    fault(_name, _code, 0, 0, _says)(of_password(_password))


def with_mode(scene: Scene, mode: int) -> Ran:
    file = scene.directory / "secret"
    file.write_text(scene.cove.password)
    file.chmod(mode)
    scene.configure(login='password_file = "secret"')
    return scene.run()


@fault("a password file that others may read", 0, 3, 4, "others can read it")
def _(scene: Scene) -> Ran:
    return with_mode(scene, 0o644)


@fault("a password file that others may write", 0, 3, 4, "others can write")
def _(scene: Scene) -> Ran:
    return with_mode(scene, 0o622)


COMMANDS = {
    "a password command that is not there": ("no-such-command-of-ours", "did not run"),
    "a password command that fails": ("sh -c 'echo locked vault >&2; exit 3'", "ended with 3"),
    "a password command that prints nothing": ("true", "printed no password"),
    "a password command with a quote that is not closed": ("echo 'x", "a quote is not closed"),
}


def of_command(command: str) -> Callable[[Scene], Ran]:
    def cause(scene: Scene) -> Ran:
        scene.configure(login=f'password_command = "{command}"')
        return scene.run()

    return cause


for _name, (_command, _says) in COMMANDS.items():
    fault(_name, 10, 0, 0, _says)(of_command(_command))


@fault("a spool in a home that there is not", 10, 0, 0, "database.spool_directory: ~nobody-of-this-name/x")
def _(scene: Scene) -> Ran:
    scene.configure(database='spool_directory = "~nobody-of-this-name/x"')
    return scene.run()


@fault("a file in the spool's place while the database is away", 14, 0, 0, "nothing was polled")
def _(scene: Scene) -> Ran:
    scene.url = "postgresql://nobody@127.0.0.1:1/nothing"
    (scene.directory / "spool").write_text("")
    scene.configure(database='spool_directory = "spool"')
    return scene.run()


@fault("a file in the spool that is damaged", 3, 3, 4, "does not hold a poll")
def _(scene: Scene) -> Ran:
    folder = scene.directory / "spool"
    folder.mkdir(mode=0o700)
    (folder / "main.20260101T000000000000Z.json.gz").write_bytes(b"\x1f\x8bdamaged")
    scene.configure(database='spool_directory = "spool"')
    return scene.run()


ELSEWHERE = {
    "an address whose name is not known": ("https://nowhere.invalid/jsonapi", {}, 13, "its name is not known"),
    "an address where nobody listens": ("https://127.0.0.1:1/jsonapi", {}, 13, "it refuses the connection"),
    "a proxy that cannot be understood": (
        "https://nowhere.invalid/jsonapi", {"HTTPS_PROXY": "http://user:pa#ss@proxy.invalid:3128"}, 10,
        "the proxy in HTTPS_PROXY cannot be understood",
    ),
    "a proxy where nobody listens": (
        "https://nowhere.invalid/jsonapi", {"HTTPS_PROXY": "http://127.0.0.1:1"}, 13, "the proxy does not help",
    ),
    "certificate authorities that are not there": (
        "https://127.0.0.1:1/jsonapi", {"REQUESTS_CA_BUNDLE": "/nowhere.pem"}, 13, "cannot be read; nothing was sent",
    ),
}  # fmt: skip


def of_address(url: str, environ: dict[str, str]) -> Callable[[Scene], Ran]:
    def cause(scene: Scene) -> Ran:
        scene.configure(url=url)
        return scene.run(environ=environ)

    return cause


for _name, (_url, _environ, _code, _says) in ELSEWHERE.items():
    fault_of(FAULTS, "network")(_name, _code, 0, 0, _says)(of_address(_url, _environ))


@fault_of(FAULTS, "network")("what answers there speaks no TLS", 13, 0, 0, "does not speak TLS")
def _(scene: Scene) -> Ran:
    scene.configure(url=scene.cove.url.replace("http:", "https:"))
    return scene.run()
