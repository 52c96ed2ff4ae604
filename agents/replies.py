"""What a model must answer. The prompt's header names one of these; `text` is what is kept."""

from pydantic import BaseModel, ConfigDict

from errors import unknown


class Profile(BaseModel):
    """RLMRec's reply: only `summarization` is stored and embedded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    summarization: str
    reasoning: str

    @property
    def text(self) -> str:
        return self.summarization


class Refinement(BaseModel):
    """One hop's reply: the addition (append) or the new description (replace)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str
    reasoning: str

    @property
    def text(self) -> str:
        return self.description


Reply = Profile | Refinement
REPLIES: dict[str, type[Profile] | type[Refinement]] = {
    "Profile": Profile,
    "Refinement": Refinement,
}


def reply_class(name: str) -> type[Profile] | type[Refinement]:
    """The class a prompt's header names."""
    if name not in REPLIES:
        raise unknown("reply", name, REPLIES)
    return REPLIES[name]
