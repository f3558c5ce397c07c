"""Configurations as text, and what is said of those that are wrong."""

SECRET = "s3cr3t-and-invented"


def config_text(
    *, url: str = "sqlite:///cove.db", database: str = "", login: str = 'password = "an-invented-one"', more: str = ""
) -> str:
    """A configuration that is right, unless it is given something that is not."""
    head = f'[database]\nurl = "{url}"\n{database}\n'
    return f'{head}[logins.main]\nusername = "api-backupchecks"\n{login}\n{more}\n'


def problem_lines(text: str) -> list[str]:
    """The problems that a message lists, one an indented line."""
    return [line.strip() for line in text.splitlines() if line.startswith("  ")]


def problem_paths(text: str) -> list[str]:
    return [line.partition(": ")[0] for line in problem_lines(text)]


# Every value here is a secret, also where no secret belongs: people paste into the wrong line.
BROKEN = f"""
[database]
urll = "postgresql://backupchecks:{SECRET}@db.example.com/backupchecks"
password = ["{SECRET}"]
[api]
url = "http://admin:{SECRET}@api.example.com/jsonapi"
page_size = "{SECRET}"
[logins.main]
passwrd = "{SECRET}"
password = 13371337
api.max_atempts = "{SECRET}"
[logins.other]
username = "api-other"
password = "{SECRET}"
password_file = "{SECRET}"
[logins.third]
username = "api-third"
[backupchecks]
overall = "{SECRET}"
[backupchecks.columns.jobs]
titel = "{SECRET}"
[status]
6 = "{SECRET}"
[intervals]
default = "{SECRET}"
"""
BROKEN_PATHS = [
    "api.page_size",
    "api.url",
    "backupchecks.columns.jobs",
    "backupchecks.overall",
    "database.password",
    "database.url",
    "database.urll",
    "intervals.default",
    "logins.main.api.max_atempts",
    "logins.main.password",
    "logins.main.passwrd",
    "logins.main.username",
    "logins.other",
    "logins.third.password_file",
    "status.6",
]
