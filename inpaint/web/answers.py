"""What the server answers, in JSON."""

from typing import Literal

from pydantic import BaseModel, Field

from inpaint.web.strokes import MOST_STROKES, Stroke
from inpaint.web.work import State

Preset = Literal["instant", "default", "best"]
PRESETS: tuple[Preset, ...] = ("instant", "default", "best")
MOST_VARIANTS = 4
Sides = tuple[int, int, int, int]  # left, top, right, bottom; in pixels of the photo


class Problem(BaseModel):
    """Why something could not be done."""

    detail: str = Field(description="One sentence: what was wrong, and what to do.")


class About(BaseModel):
    """What this server takes."""

    version: str
    device: str
    max_bytes: int = Field(description="Of a file.")
    max_pixels: int = Field(description="Of a photo.")
    accept: str = Field(description="The suffixes of pictures that can be read, separated by commas.")
    presets: tuple[Preset, ...] = PRESETS


class Mask(BaseModel):
    """What is marked, as it will be used."""

    version: int
    box: Sides = Field(description="Where the overlay lies.")
    marked: float = Field(description="The share of the photo that is marked, in [0, 1].")
    share: float = Field(description="The same of what the fill changes: what is marked, and its enlargement.")
    lines: list[str] = Field(description="By how much it is enlarged, and what a person should know.")
    problem: str | None = Field(description="Why it cannot be filled.")


class Result(BaseModel):
    """A photo filled."""

    number: int = Field(description="Which no other result of its step ever had.")
    preview: bool
    ready: bool = Field(description="Whether its file is written, which takes seconds for a large PNG.")
    preset: Preset
    seed: int
    name: str = Field(description="Of the file.")
    box: Sides = Field(description="Where its picture lies, which shows the part that changed.")
    seconds: float
    lines: list[str] = Field(description="What a person should know.")
    command: str = Field(description="The command that writes the same file.")


class Fill(BaseModel):
    """How far a fill is."""

    step: int = Field(description="The step's number.")
    first: int = Field(description="The number of its first result.")
    state: State
    place: int = Field(description="How many fills come before it; 0 when it runs.")
    share: float = Field(description="Of its work that is done, in [0, 1].")
    seconds_left: float | None
    error: str | None
    done: int = Field(description="How many variants are there.")
    of: int


class Step(BaseModel):
    """A photo that something is removed from."""

    number: int = Field(description="Which no other step of its session ever had.")
    name: str
    width: int
    height: int
    strokes: list[Stroke]
    mask: Mask | None
    results: list[Result] = Field(description="Of the last fill that came to a variant, and a later one's preview.")


class Session(BaseModel):
    """What one page works on: a photo, then what became of it, and so on."""

    id: str
    steps: list[Step] = Field(description="Each one begins with a result of the one before it.")
    fill: Fill | None


class Event(BaseModel):
    """What changes while a fill runs."""

    fill: Fill | None
    results: list[Result] = Field(description="Of the fill's step, as that has them.")


class Strokes(BaseModel):
    """All strokes of a step."""

    strokes: list[Stroke] = Field(max_length=MOST_STROKES)


class Wish(BaseModel):
    """How a step is to be filled."""

    preset: Preset = "default"
    variants: int = Field(1, ge=1, le=MOST_VARIANTS)


class Uploaded(BaseModel):
    """A mask that was uploaded."""

    file: str = Field(description="What strokes call it.")
