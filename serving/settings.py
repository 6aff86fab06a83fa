"""Settings: one frozen value, read once and passed down.

Each comes from `settings.toml` in the home, or from an environment variable `RECSYS_…`, which wins.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from recsys.database import sqlite_url
from recsys.errors import InvalidConfiguration
from serving.flooding import Bounds
from serving.watching import Thresholds

DEFAULT_HOME = Path("~/.recsys")
PACKAGE = Path(__file__).parent
_FILES = {"rules", "rewards", "contact", "metrics", "reasons", "recipes", "inventory", "feature_store", "search_model"}


class _FileInHome(TomlConfigSettingsSource):
    """`settings.toml`; the files that it names lie beside it unless it says otherwise."""

    def __call__(self) -> dict[str, object]:
        """The settings of the file."""
        home = Path(os.environ.get("RECSYS_HOME", DEFAULT_HOME)).expanduser()
        told: dict[str, object] = dict(super().__call__())
        for name in _FILES & told.keys():
            given = told[name]
            told[name] = [str(home / each) for each in given] if isinstance(given, list) else str(home / str(given))
        return told


class Settings(BaseSettings):
    """Everything an installation may choose."""

    model_config = SettingsConfigDict(env_prefix="RECSYS_", frozen=True, extra="forbid")

    home: Path = DEFAULT_HOME
    database_url: str = ""  # "" is SQLite in the home
    evidence_url: str = ""  # what the law keeps of the forgotten; "" is SQLite in `restricted`
    mlflow_uri: str = ""  # "" is SQLite in the home
    mlflow_page: str = ""  # where a person opens MLflow, for links
    rules: Annotated[tuple[Path, ...], NoDecode] = (PACKAGE.parent / "recsys" / "rules" / "gb.toml",)  # home's first
    rewards: Path = PACKAGE.parent / "recsys" / "default_rewards.toml"
    contact: Path = PACKAGE.parent / "recsys" / "default_contact.toml"
    metrics: Path = PACKAGE.parent / "recsys" / "metrics.toml"  # what experiments measure
    retention: Path = PACKAGE.parent / "recsys" / "default_retention.toml"  # how long records are kept
    reasons: Path = PACKAGE.parent / "recsys" / "reasons.toml"
    recipes: Path = PACKAGE / "recipes.toml"
    inventory: Path = PACKAGE / "inventory.toml"  # whose each recipe is, what it is for and where it may be used
    feature_store: Path | None = (
        None  # a Feast repository, whose facts stand beside our own (`recsys features --feast`)
    )
    search_model: Path | None = None  # a sentence-transformers directory; without it lexical text vectors
    ray: str = ""  # address of a Ray cluster that trains, encodes, judges and exports; "" is this machine
    ray_workers: int = Field(default=2, ge=1)  # that teach one network together
    champion: str = "bandit"  # serves where no experiment says otherwise, until `recsys promote` names another
    shadow: tuple[str, ...] = ()  # recipes that decide beside the live one: logged, never shown
    approved: tuple[str, ...] = ()  # product ids in the order in which everybody may see them; () is the catalogue's
    clock: Literal["wall", "simulated"] = "wall"
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)  # processes that answer, on one port
    tracing: str = ""  # an OpenTelemetry exporter by its name, such as "otlp"; "" collects no spans
    tracing_share: float = Field(default=0.05, ge=0, le=1)  # of the traces that no caller began
    most_in_flight: int = Field(default=512, ge=1)  # requests a worker answers at once; the next are told to come back
    holdout_share: float = Field(default=0.02, ge=0, lt=1)
    uniform_share: float = Field(default=0.01, ge=0, lt=1)  # the slice that keeps evaluation possible
    candidates: int = Field(default=50, ge=1)  # proposed by retrieval where more than 100 are eligible
    decision_life_minutes: int = Field(default=24 * 60, ge=1)
    publish_every_lessons: int = Field(default=2_000, ge=1)
    publish_every_minutes: int = Field(default=60, ge=1)  # of business time, between two snapshots of one recipe
    decisions_per_customer: int = Field(default=200, ge=0)  # that teach in a day of business time; 0 is no bound
    outcomes_per_key: int = Field(default=1_000_000, ge=0)  # that are believed in a day; 0 is no bound
    drift_amber: float = Field(default=0.5, gt=0)  # standard deviations that a day's mean has moved
    drift_red: float = Field(default=1.0, gt=0)
    share_amber: float = Field(default=0.2, gt=0, le=1)  # that a product's share of the first slot has moved
    share_red: float = Field(default=0.4, gt=0, le=1)
    stale_hours_amber: float = Field(default=36.0, gt=0)  # mean age of a fact when it is used
    stale_hours_red: float = Field(default=72.0, gt=0)
    skew_amber: float = Field(default=0.01, gt=0, le=1)  # share of customers whose served fact is not the exported one
    skew_red: float = Field(default=0.05, gt=0, le=1)
    failing_amber: float = Field(default=0.001, gt=0, le=1)  # share of decisions in which a shadow fails
    failing_red: float = Field(default=0.01, gt=0, le=1)
    poll_seconds: float = Field(default=0.2, gt=0)
    privacy_notice: str = "2026-11"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, then the file in the home."""
        home = Path(os.environ.get("RECSYS_HOME", DEFAULT_HOME)).expanduser()
        return init_settings, env_settings, _FileInHome(settings_cls, home / "settings.toml")

    @field_validator("rules", mode="before")
    @classmethod
    def _one_pack_or_several(cls, given: object) -> object:
        """One path, or several: a list in the file, parted as in PATH in the environment."""
        return (
            tuple(given.split(os.pathsep)) if isinstance(given, str) else (given,) if isinstance(given, Path) else given
        )

    @model_validator(mode="after")
    def _simulated_time_stays_at_home(self) -> Settings:
        if self.clock == "simulated" and self.host not in LOOPBACK:
            raise ValueError("a simulated clock serves on loopback only: set host to 127.0.0.1 or clock to wall")
        return self

    @property
    def folder(self) -> Path:
        """The home, absolute."""
        return self.home.expanduser().absolute()

    @property
    def artefacts(self) -> Path:
        """Where artefacts are published."""
        return self.folder / "artefacts"

    @property
    def restricted(self) -> Path:
        """Where evidence of promotions to the forgotten is kept; nothing that learns goes there."""
        return self.folder / "restricted"

    @property
    def archive(self) -> Path:
        """Where the texts of old decisions lie, once `recsys compact` has moved them there."""
        return self.folder / "archive"

    @property
    def clock_file(self) -> Path:
        """The eight bytes that a simulated clock shares."""
        return self.folder / "clock"

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url or sqlite_url(self.folder / "recsys.db")

    @property
    def bounds(self) -> Bounds:
        """How much one source may teach."""
        return Bounds(self.decisions_per_customer, self.outcomes_per_key)

    @property
    def thresholds(self) -> Thresholds:
        """When a movement of the models asks for a look, and when for an owner."""
        return Thresholds(
            drift=(self.drift_amber, self.drift_red),
            share=(self.share_amber, self.share_red),
            hours=(self.stale_hours_amber, self.stale_hours_red),
            skew=(self.skew_amber, self.skew_red),
            failing=(self.failing_amber, self.failing_red),
        )

    @property
    def tracking(self) -> str:
        """The MLflow store's URI."""
        return self.mlflow_uri or f"sqlite:///{self.folder / 'mlflow.db'}"


LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def load(**given: object) -> Settings:
    """Read the settings; raises `InvalidConfiguration` with one sentence naming the setting."""
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic checks what the type checker cannot
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidConfiguration(f"setting {name}: {first['msg']}" if name else str(first["msg"])) from None
    except ValueError as error:
        raise InvalidConfiguration(f"settings.toml: {error}") from None
