"""The prompt library: one Markdown file a question, with a checked header.

A header names the version, the reply, the inputs and the limits. The body has three parts in
Jinja: `# system`, `# user`, and `# repair`, which answers a reply that failed its check. `load`
refuses a header and a body that disagree, `Prompt.render` refuses inputs that the header does not
name. `Prompt.ref` is what every stored reply carries.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from jinja2 import StrictUndefined, Template, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from errors import PromptError, unknown
from prompts.untrusted import fence

FOLDER = Path(__file__).parent
PARTS = ("system", "user", "repair")
_SHAPE = re.compile(
    r"\A---\n(?P<header>.*?)\n---\n+# system\n(?P<system>.*?)"
    r"\n# user\n(?P<user>.*?)"
    r"\n# repair\n(?P<repair>.*)\Z",
    re.DOTALL,
)

Message = tuple[str, str]
"""A role (`system`, `user`, `assistant`) and its text."""


class Header(BaseModel):
    """The head of a prompt file; an unknown key is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(ge=1)
    reply: str
    inputs: tuple[str, ...]
    max_tokens: int = Field(ge=16)
    max_words: int = Field(ge=1)


class Domain(BaseModel):
    """The words a field uses for its users, items and interactions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str
    users: str
    item: str
    items: str
    enjoy: str
    history: str


@dataclass(frozen=True)
class Prompt:
    """A loaded template. `ref` is `name@version:digest`, the digest over the whole file.

    `source` is the text of that file.
    """

    name: str
    header: Header
    digest: str
    system: Template
    user: Template
    repair: Template
    source: str = field(default="", repr=False)

    @property
    def ref(self) -> str:
        return f"{self.name}@{self.header.version}:{self.digest}"

    def render(self, inputs: Mapping[str, Any]) -> tuple[Message, ...]:
        """The exact messages for these inputs. Raises PromptError where the two do not fit."""
        if set(inputs) != set(self.header.inputs):
            raise PromptError(
                f"Prompt {self.name} takes {sorted(self.header.inputs)}, not {sorted(inputs)}."
            )
        return (
            ("system", self._text(self.system, inputs)),
            ("user", self._text(self.user, inputs)),
        )

    def render_repair(self, reply: str, complaint: str) -> tuple[Message, ...]:
        """The two messages that go on from a reply that cannot be used."""
        return (
            ("assistant", reply),
            ("user", self._text(self.repair, {"complaint": complaint})),
        )

    def _text(self, part: Template, inputs: Mapping[str, Any]) -> str:
        try:
            return part.render(inputs).strip()
        except TemplateError as error:
            raise PromptError(f"Prompt {self.name} does not render: {error}") from error


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data"] = fence
    return environment


def names(folder: Path = FOLDER) -> list[str]:
    """Every prompt of the library."""
    return sorted(path.stem for path in folder.glob("*.md"))


def load(name: str, folder: Path = FOLDER) -> Prompt:
    """Read `folder/name.md`. Raises PromptError when header and body disagree."""
    path = folder / f"{name}.md"
    if not path.is_file():
        raise unknown("prompt", name, names(folder))
    try:
        return _parsed(path, path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise PromptError(f"{path} is not UTF-8: {error}") from error


@cache
def _parsed(path: Path, text: str) -> Prompt:
    match = _SHAPE.match(text)
    if match is None:
        raise PromptError(
            f"{path}: a prompt is a YAML header between --- lines, then # system, # user, # repair."
        )
    try:
        header = Header.model_validate(yaml.safe_load(match["header"]))
        parts = [_environment().from_string(match[part]) for part in PARTS]
        used = [meta.find_undeclared_variables(_environment().parse(match[part])) for part in PARTS]
    except (yaml.YAMLError, ValidationError, TemplateError) as error:
        raise PromptError(f"{path}: {error}") from error
    asked = used[0] | used[1]
    if asked != set(header.inputs):
        raise PromptError(
            f"{path}: the header's inputs are {sorted(header.inputs)}, "
            f"the body uses {sorted(asked)}.",
            hint="List each input that # system and # user use, and no other.",
        )
    if used[2] != {"complaint"}:
        raise PromptError(f"{path}: # repair uses {{{{ complaint }}}} and no other input.")
    system, user, repair = parts
    digest = sha256(text.encode()).hexdigest()[:12]
    return Prompt(path.stem, header, digest, system, user, repair, text)


def parse(name: str, text: str) -> Prompt:
    """A prompt from the text of its file. Raises PromptError when header and body disagree."""
    return _parsed(Path(f"{name}.md"), text)


def domain(name: str, folder: Path = FOLDER / "domains") -> Domain:
    """The words of a domain, from `domains/name.yaml`."""
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise unknown("domain", name, domains(folder))
    try:
        return Domain.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise PromptError(f"{path}: {error}") from error


def domains(folder: Path = FOLDER / "domains") -> list[str]:
    """Every domain there is."""
    return sorted(path.stem for path in folder.glob("*.yaml"))
